// Convolution over two spatial axes as a matrix product that is never laid out (implicit GEMM): the filters of a group
// (elements LEFT) are the rows, the points of all samples (elements RIGHT) the columns, channels times taps the terms.
// One axis is two, the first of extent 1. grid: tiles, groups, problems.
struct Shape {
  int samples, channels, height, width;       // of the input; channels of all groups
  int filters, out_height, out_width, groups;
  int kernel_height, kernel_width, stride_height, stride_width;
  int dilation_height, dilation_width, before_height, before_width;
};

struct Tensors { address data, weight, bias, result; };  // bias 0: none

struct Filters {
  address from; int terms;
  __device__ __forceinline__ float operator()(int m, int k) const {
    return to_float(at<const LEFT>(from)[(long long)m * terms + k]);
  }
};

struct Windows {
  address from; int first_channel; const Shape& shape;
  __device__ __forceinline__ float operator()(int k, int n) const {
    const int taps = shape.kernel_height * shape.kernel_width, points = shape.out_height * shape.out_width;
    const int channel = first_channel + k / taps, tap = k % taps, sample = n / points, point = n % points;
    const int y = point / shape.out_width * shape.stride_height - shape.before_height +
                  tap / shape.kernel_width * shape.dilation_height;
    const int x = point % shape.out_width * shape.stride_width - shape.before_width +
                  tap % shape.kernel_width * shape.dilation_width;
    if (y < 0 || y >= shape.height || x < 0 || x >= shape.width) return 0.0f;
    const long long plane = (long long)sample * shape.channels + channel;
    return to_float(at<const RIGHT>(from)[(plane * shape.height + y) * shape.width + x]);
  }
};

struct Planes {
  address to, bias; int first_filter; const Shape& shape;
  __device__ __forceinline__ void operator()(int m, int n, float sum) const {
    const int points = shape.out_height * shape.out_width, filter = first_filter + m;
    if (bias) sum += at<const float>(bias)[filter];
    const long long plane = (long long)(n / points) * shape.filters + filter;
    at<float>(to)[plane * points + n % points] = sum;
  }
};

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) convolution(address problems, address shape_at) {
  const Shape shape = at<const Shape>(shape_at)[0];
  const Tensors it = at<const Tensors>(problems)[blockIdx.z];
  const int group = blockIdx.y, filters = shape.filters / shape.groups, channels = shape.channels / shape.groups;
  const int terms = channels * shape.kernel_height * shape.kernel_width;
  const int columns = shape.samples * shape.out_height * shape.out_width;
  const int across = (columns + TILE_N - 1) / TILE_N, tile = blockIdx.x;
  const Filters left = {it.weight + (address)group * filters * terms * sizeof(LEFT), terms};
  const Windows right = {it.data, group * channels, shape};
  const Planes result = {it.result, it.bias, group * filters, shape};
  multiply_tile(left, right, result, tile / across * TILE_M, tile % across * TILE_N, filters, columns, terms);
}
