// C = alpha * A * B + beta * bias for many problems in one launch. Strides are in elements, so a transposed operand is
// one with its strides exchanged, and a bias is broadcast by a stride of zero. LEFT and RIGHT: the factors' elements.
struct Matrices {
  address a, b, c, bias;  // bias 0: none
  int m, n, k;
  int a_row, a_column, b_row, b_column, c_row, c_column, bias_row, bias_column;
  float alpha, beta;
  int reserved;
};

template <class Element> struct Factor {
  address from; int row, column;
  __device__ __forceinline__ float operator()(int i, int j) const {
    return to_float(at<const Element>(from)[(long long)i * row + (long long)j * column]);
  }
};

struct Sums {
  address to, bias; int row, column, bias_row, bias_column; float alpha, beta;
  __device__ __forceinline__ void operator()(int m, int n, float sum) const {
    float value = alpha * sum;
    if (bias) value += beta * at<const float>(bias)[(long long)m * bias_row + (long long)n * bias_column];
    at<float>(to)[(long long)m * row + (long long)n * column] = value;
  }
};

__device__ __forceinline__ void multiply(const Matrices& it, int tile) {
  const int across = (it.n + TILE_N - 1) / TILE_N;
  const Factor<LEFT> left = {it.a, it.a_row, it.a_column};
  const Factor<RIGHT> right = {it.b, it.b_row, it.b_column};
  const Sums sums = {it.c, it.bias, it.c_row, it.c_column, it.bias_row, it.bias_column, it.alpha, it.beta};
  multiply_tile(left, right, sums, tile / across * TILE_M, tile % across * TILE_N, it.m, it.n, it.k);
}

// Grouped: problems of any shapes. `first_tiles`: for each problem, how many tiles the ones before it have.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) grouped_gemm(address problems, address first_tiles, int count) {
  const auto first = at<const int>(first_tiles);
  int low = 0, high = count - 1;  // the last problem whose first tile is not beyond this block
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (first[middle] <= (int)blockIdx.x) low = middle; else high = middle - 1;
  }
  const Matrices it = at<const Matrices>(problems)[low];
  multiply(it, (int)blockIdx.x - first[low]);
}
