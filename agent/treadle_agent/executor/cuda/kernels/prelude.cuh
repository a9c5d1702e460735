// What every kernel stands on. Addresses are plain numbers: arguments are then the same for every caller, and a test
// that runs this text on a processor puts checked pointers behind `at` and `SHARED` (it defines TREADLE_ON_HOST).
typedef unsigned long long address;
typedef unsigned char byte;

struct half_bits { unsigned short bits; };  // float16 without NVIDIA's headers, which NVRTC does not bring

#ifndef TREADLE_ON_HOST
template <class T> __device__ __forceinline__ T* at(address where) { return reinterpret_cast<T*>(where); }
#define SHARED(type, name, count) __shared__ type name[count]

__device__ __forceinline__ float to_float(half_bits x) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(x.bits));
  return result;
}
#endif

__device__ __forceinline__ float to_float(float x) { return x; }

// NaN wins, as in NumPy.
template <class T, class U> __device__ __forceinline__ T larger(T x, U y) { return x > (T)y || x != x ? x : (T)y; }
template <class T, class U> __device__ __forceinline__ T smaller(T x, U y) { return x < (T)y || x != x ? x : (T)y; }
