// A fused run of element-wise kernels: one thread computes PER_THREAD elements of each problem, intermediate results
// stay in registers. `@NAME@`, `@ELEMENTS@` and `@BODY@` are written by pointwise.py: the body computes element `i`
// of the results from `slot`, `row` (the problem's activations and weights) and `constants`. grid: elements, problems.
extern "C" __global__ void __launch_bounds__(POINT_THREADS) @NAME@(address places, address constants) {
  const address slot = at<const address>(places)[2 * blockIdx.y], row = at<const address>(places)[2 * blockIdx.y + 1];
  const long long first = (long long)blockIdx.x * (POINT_THREADS * PER_THREAD) + threadIdx.x;
#pragma unroll
  for (int step = 0; step < PER_THREAD; ++step) {
    const long long i = first + step * POINT_THREADS;
    if (i < @ELEMENTS@LL) {
@BODY@
    }
  }
}
