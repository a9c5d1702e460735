// One tile of a matrix product: TILE_M x TILE_N outputs by one block, each thread THREAD_M x THREAD_N of them, TILE_K
// terms at a time through shared memory. Sums are float32 and run along k in order: the bits of an output do not
// depend on the tile it is in, nor on who shares the launch.
#define ROWS_OF_THREADS (TILE_M / THREAD_M)
#define COLUMNS_OF_THREADS (TILE_N / THREAD_N)
#define THREADS (ROWS_OF_THREADS * COLUMNS_OF_THREADS)
#define A_STEP (TILE_M + 1)  // one more: a column of `a` is then spread over the banks

template <class Left, class Right, class Result>
__device__ __forceinline__ void multiply_tile(const Left& left, const Right& right, const Result& result,
                                              int first_m, int first_n, int m, int n, int k) {
  SHARED(float, a, TILE_K * A_STEP);
  SHARED(float, b, TILE_K * TILE_N);
  const int thread = threadIdx.x, row = thread / COLUMNS_OF_THREADS, column = thread % COLUMNS_OF_THREADS;
  float sums[THREAD_M][THREAD_N];
#pragma unroll
  for (int i = 0; i < THREAD_M; ++i)
#pragma unroll
    for (int j = 0; j < THREAD_N; ++j) sums[i][j] = 0.0f;
  for (int first_k = 0; first_k < k; first_k += TILE_K) {
    for (int index = thread; index < TILE_M * TILE_K; index += THREADS) {
      const int im = index / TILE_K, ik = index % TILE_K;
      a[ik * A_STEP + im] = first_m + im < m && first_k + ik < k ? left(first_m + im, first_k + ik) : 0.0f;
    }
    for (int index = thread; index < TILE_N * TILE_K; index += THREADS) {
      const int in = index % TILE_N, ik = index / TILE_N;
      b[ik * TILE_N + in] = first_n + in < n && first_k + ik < k ? right(first_k + ik, first_n + in) : 0.0f;
    }
    __syncthreads();
    const int terms = k - first_k < TILE_K ? k - first_k : TILE_K;
#pragma unroll 2
    for (int ik = 0; ik < terms; ++ik) {
      float x[THREAD_M], y[THREAD_N];
#pragma unroll
      for (int i = 0; i < THREAD_M; ++i) x[i] = a[ik * A_STEP + row + i * ROWS_OF_THREADS];
#pragma unroll
      for (int j = 0; j < THREAD_N; ++j) y[j] = b[ik * TILE_N + column + j * COLUMNS_OF_THREADS];
#pragma unroll
      for (int i = 0; i < THREAD_M; ++i)
#pragma unroll
        for (int j = 0; j < THREAD_N; ++j) sums[i][j] += x[i] * y[j];
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < THREAD_M; ++i)
#pragma unroll
    for (int j = 0; j < THREAD_N; ++j) {
      const int im = first_m + row + i * ROWS_OF_THREADS, in = first_n + column + j * COLUMNS_OF_THREADS;
      if (im < m && in < n) result(im, in, sums[i][j]);
    }
}
