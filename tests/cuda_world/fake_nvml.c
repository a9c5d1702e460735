/* A libnvidia-ml.so.1 with one GPU, for pynvml. What it tells lies in the file TREADLE_FAKE_NVML, read at each call:
   lines "memory BYTES", "ecc ERRORS" (-1: not supported), "lost 1", "major 7", "minor 5". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, GPU_IS_LOST = 15 };
static const char UUID[] = "GPU-00000000-0000-4000-8000-000000000001";
static int the_gpu;

typedef struct { unsigned long long total, free, used; } memory_t;

static long long told(const char* name, long long otherwise) {
  const char* path = getenv("TREADLE_FAKE_NVML");
  FILE* file = path ? fopen(path, "r") : NULL;
  char key[32];
  long long value;
  while (file && fscanf(file, "%31s %lld", key, &value) == 2)
    if (!strcmp(key, name)) otherwise = value;
  if (file) fclose(file);
  return otherwise;
}

static int reached(void* device) { return device != &the_gpu ? INVALID_ARGUMENT : told("lost", 0) ? GPU_IS_LOST : SUCCESS; }

static int copied(const char* text, char* to, unsigned room) {
  if (strlen(text) >= room) return INVALID_ARGUMENT;
  strcpy(to, text);
  return SUCCESS;
}

int nvmlInitWithFlags(unsigned flags) { return flags ? INVALID_ARGUMENT : SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char* nvmlErrorString(int code) { return code == GPU_IS_LOST ? "GPU is lost" : code == NOT_FOUND ? "Not Found" : "Error"; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  if (index) return INVALID_ARGUMENT;
  *device = &the_gpu;
  return reached(*device);
}

int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
  if (strcmp(uuid, UUID)) return NOT_FOUND;
  *device = &the_gpu;
  return reached(*device);
}

int nvmlDeviceGetUUID(void* device, char* uuid, unsigned room) { return reached(device) ? reached(device) : copied(UUID, uuid, room); }
int nvmlDeviceGetName(void* device, char* name, unsigned room) { return reached(device) ? reached(device) : copied("NVIDIA Fake-1", name, room); }

int nvmlDeviceGetCudaComputeCapability(void* device, int* major, int* minor) {
  *major = (int)told("major", 9);
  *minor = (int)told("minor", 0);
  return reached(device);
}

int nvmlDeviceGetMemoryInfo(void* device, memory_t* memory) {
  memory->total = (unsigned long long)told("memory", 16LL << 30);
  memory->used = 1 << 20;
  memory->free = memory->total - memory->used;
  return reached(device);
}

int nvmlDeviceGetTotalEccErrors(void* device, int kind, int counter, unsigned long long* errors) {
  long long count = told("ecc", 0);
  if (kind != 1 || counter != 0) return INVALID_ARGUMENT; /* uncorrected, since the driver was loaded */
  if (count < 0) return NOT_SUPPORTED;
  *errors = (unsigned long long)count;
  return reached(device);
}
