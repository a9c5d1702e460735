// A kernel that folds many elements into one, a block for each row: softmax and the reductions. The body, written by
// rows.py, calls `fold`, whose order of addition is fixed by the row's length and ROW_THREADS.
#ifndef ROWS_PRELUDE
#define ROWS_PRELUDE
struct Sum { static __device__ __forceinline__ float of(float x, float y) { return x + y; } };
struct Product { static __device__ __forceinline__ float of(float x, float y) { return x * y; } };
// NaN wins, as in NumPy.
struct Largest { static __device__ __forceinline__ float of(float x, float y) { return x > y || x != x ? x : y; } };
struct Smallest { static __device__ __forceinline__ float of(float x, float y) { return x < y || x != x ? x : y; } };

template <class How, class Element>
__device__ __forceinline__ float fold(float neutral, int count, const Element& element) {
  SHARED(float, partial, ROW_THREADS);
  float mine = neutral;
  for (int j = threadIdx.x; j < count; j += ROW_THREADS) mine = How::of(mine, element(j));
  partial[threadIdx.x] = mine;
  __syncthreads();
  for (int half = ROW_THREADS / 2; half > 0; half /= 2) {
    if ((int)threadIdx.x < half) partial[threadIdx.x] = How::of(partial[threadIdx.x], partial[threadIdx.x + half]);
    __syncthreads();
  }
  const float result = partial[0];
  __syncthreads();  // before the next fold writes
  return result;
}
#endif

extern "C" __global__ void __launch_bounds__(ROW_THREADS) @NAME@(address places, address constants) {
  const address slot = at<const address>(places)[2 * blockIdx.y], row = at<const address>(places)[2 * blockIdx.y + 1];
  const long long i = blockIdx.x;
@BODY@
}
