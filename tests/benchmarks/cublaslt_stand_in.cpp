// A stand-in for libcublasLt, for tests without a GPU: takes what cublasLt.h says, refuses what does not go together
// with CUBLAS_STATUS_INVALID_VALUE and a line on stderr, and multiplies on the host.
//
// With -DNVIDIAS_HEADER it is compiled against the real one. Then the compiler compares the signatures below, and a test
// that passes uses NVIDIA's numbers and structures. Without it they are those written down here.
//
// Four algorithms are proposed: one that needs no workspace, one whose state says no, one that fails when it is run,
// and one that needs workspace.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#ifdef NVIDIAS_HEADER
#include <cublasLt.h>
#else
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_INVALID_VALUE = 7, CUBLAS_STATUS_NOT_SUPPORTED = 15 };
enum cublasComputeType_t { CUBLAS_COMPUTE_32F = 68, CUBLAS_COMPUTE_32F_FAST_TF32 = 77 };
enum cudaDataType { CUDA_R_32F = 0 };
enum cublasOperation_t { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 };
enum cublasLtMatmulDescAttributes_t {
  CUBLASLT_MATMUL_DESC_TRANSA = 3,
  CUBLASLT_MATMUL_DESC_TRANSB = 4,
  CUBLASLT_MATMUL_DESC_EPILOGUE = 7,
  CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8,
  CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER = 11,
  CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD = 12,
};
enum cublasLtEpilogue_t {
  CUBLASLT_EPILOGUE_DEFAULT = 1,
  CUBLASLT_EPILOGUE_BIAS = 4,
  CUBLASLT_EPILOGUE_RELU_BIAS = 6,
  CUBLASLT_EPILOGUE_RELU_AUX = 130,
  CUBLASLT_EPILOGUE_RELU_AUX_BIAS = 134,
  CUBLASLT_EPILOGUE_DRELU = 136,
  CUBLASLT_EPILOGUE_BGRADA = 256,
};
enum cublasLtMatmulPreferenceAttributes_t { CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1 };
struct cublasLtMatmulAlgo_t { uint64_t data[8]; };
struct cublasLtMatmulHeuristicResult_t {
  cublasLtMatmulAlgo_t algo;
  size_t workspaceSize;
  cublasStatus_t state;
  float wavesCount;
  int reserved[4];
};
typedef struct cublasLtContext* cublasLtHandle_t;
typedef struct { uint64_t data[32]; } * cublasLtMatmulDesc_t;
typedef struct { uint64_t data[14]; } * cublasLtMatrixLayout_t;
typedef struct { uint64_t data[12]; } * cublasLtMatmulPreference_t;
typedef struct CUstream_st* cudaStream_t;
#endif

static_assert(sizeof(cublasLtMatmulAlgo_t) == 64 && sizeof(cublasLtMatmulHeuristicResult_t) == 96, "");

namespace {

const uint64_t CONTEXT = 0xC0DE, ALGORITHM = 0xA160;
const size_t WORKSPACE = 4096;

struct Description {
  int compute, transposed_a, transposed_b, epilogue;
  float* vector;
  unsigned char* bits;
  int64_t bits_ld;
};
struct Layout {
  int64_t rows, columns, ld;
};
struct Preference {
  uint64_t workspace;
};

cublasStatus_t refuse(const char* why) {
  fprintf(stderr, "cublasLt's stand-in: %s\n", why);
  return CUBLAS_STATUS_INVALID_VALUE;
}

#define REQUIRE(condition) \
  if (!(condition)) return refuse(#condition)

template <class Mine, class Theirs>
cublasStatus_t make(Theirs** made, Mine value) {
  REQUIRE(made);
  static_assert(sizeof(Mine) <= sizeof(Theirs), "");
  *made = (Theirs*)calloc(1, sizeof(Theirs));
  memcpy(*made, &value, sizeof value);
  return CUBLAS_STATUS_SUCCESS;
}

template <class T>
cublasStatus_t set(T& attribute, const void* value, size_t size) {
  REQUIRE(value && size == sizeof(T));
  memcpy(&attribute, value, size);
  return CUBLAS_STATUS_SUCCESS;
}

const int EPILOGUES[] = {CUBLASLT_EPILOGUE_DEFAULT,  CUBLASLT_EPILOGUE_BIAS,          CUBLASLT_EPILOGUE_RELU_BIAS,
                         CUBLASLT_EPILOGUE_RELU_AUX, CUBLASLT_EPILOGUE_RELU_AUX_BIAS, CUBLASLT_EPILOGUE_DRELU,
                         CUBLASLT_EPILOGUE_BGRADA};

bool known(int epilogue) {
  for (int one : EPILOGUES) {
    if (epilogue == one) return true;
  }
  return false;
}

bool has(int epilogue, int part) { return (epilogue & part) == part; }
const int RELU = 2, BIAS = 4, BITS = 128, DERIVATIVE = 8;  // parts of an epilogue

// Do the shapes and what the epilogue needs go together?
cublasStatus_t check(const Description& d, const Layout& a, const Layout& b, const Layout& c, const Layout& out) {
  const int64_t m = d.transposed_a ? a.columns : a.rows, k = d.transposed_a ? a.rows : a.columns;
  const int64_t n = d.transposed_b ? b.rows : b.columns, other_k = d.transposed_b ? b.columns : b.rows;
  REQUIRE(k == other_k && known(d.epilogue));
  REQUIRE(out.rows == m && out.columns == n && c.rows == m && c.columns == n);
  REQUIRE(a.ld >= a.rows && b.ld >= b.rows && c.ld >= m && out.ld >= m);
  REQUIRE(d.vector || !(has(d.epilogue, BIAS) || d.epilogue == CUBLASLT_EPILOGUE_BGRADA));
  REQUIRE(!has(d.epilogue, BITS) || (d.bits && d.bits_ld % 128 == 0 && d.bits_ld >= m));
  return CUBLAS_STATUS_SUCCESS;
}

float operand(float x, int compute) {  // rounded to TF32's 10 bits, or as it is
  if (compute != CUBLAS_COMPUTE_32F_FAST_TF32) return x;
  uint32_t bits;
  memcpy(&bits, &x, 4);
  bits = (bits + 0x1000) & ~0x1fffu;
  memcpy(&x, &bits, 4);
  return x;
}

int refused = -1;  // an epilogue for which there is no algorithm
void* last_stream;
int runs;

}  // namespace

extern "C" {

// ---- for the test ----
void stand_in_refuse(int epilogue) { refused = epilogue; }
void* stand_in_stream() { return last_stream; }
int stand_in_runs() { return runs; }

// ---- cublasLt's ----
size_t cublasLtGetVersion() { return 130207; }
const char* cublasLtGetStatusName(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED ? "CUBLAS_STATUS_NOT_SUPPORTED" : "CUBLAS_STATUS_INVALID_VALUE";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  REQUIRE(handle);
  *handle = (cublasLtHandle_t)CONTEXT;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* made, cublasComputeType_t compute, cudaDataType scale) {
  REQUIRE(compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_FAST_TF32);
  REQUIRE(scale == CUDA_R_32F);
  return make(made, Description{compute, CUBLAS_OP_N, CUBLAS_OP_N, CUBLASLT_EPILOGUE_DEFAULT, nullptr, nullptr, 0});
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t size) {
  REQUIRE(desc);
  Description& d = *(Description*)desc;
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA: return set(d.transposed_a, value, size);
    case CUBLASLT_MATMUL_DESC_TRANSB: return set(d.transposed_b, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE: return set(d.epilogue, value, size);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER: return set(d.vector, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER: return set(d.bits, value, size);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD: return set(d.bits_ld, value, size);
    default: return refuse("an attribute that is not known");
  }
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* made, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t ld) {
  REQUIRE(type == CUDA_R_32F);
  return make(made, Layout{(int64_t)rows, (int64_t)columns, ld});
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* made) { return make(made, Preference{0}); }

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t size) {
  REQUIRE(preference && attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
  return set(((Preference*)preference)->workspace, value, size);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t out,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t results[], int* returned) {
  REQUIRE((uint64_t)handle == CONTEXT && desc && a && b && c && out && preference && requested > 0);
  const Description& d = *(Description*)desc;
  if (d.epilogue == refused) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (cublasStatus_t wrong = check(d, *(Layout*)a, *(Layout*)b, *(Layout*)c, *(Layout*)out)) return wrong;
  int n = 0;
  for (uint64_t i = 0; i < 4 && n < requested; ++i) {
    const size_t workspace = i == 3 ? WORKSPACE : 0;
    if (workspace > ((Preference*)preference)->workspace) continue;
    results[n] = cublasLtMatmulHeuristicResult_t{};
    results[n].algo = cublasLtMatmulAlgo_t{{ALGORITHM, i, 2, 3, 4, 5, 6, 7}};
    results[n].workspaceSize = workspace;
    results[n].state = i == 1 ? CUBLAS_STATUS_NOT_SUPPORTED : CUBLAS_STATUS_SUCCESS;
    ++n;
  }
  *returned = n;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void* alpha, const void* A,
                              cublasLtMatrixLayout_t a_layout, const void* B, cublasLtMatrixLayout_t b_layout,
                              const void* beta, const void* C, cublasLtMatrixLayout_t c_layout, void* D,
                              cublasLtMatrixLayout_t out_layout, const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              size_t workspace_size, cudaStream_t stream) {
  REQUIRE((uint64_t)handle == CONTEXT && desc && A && B && C && D && algorithm && alpha && beta);
  REQUIRE(*(const float*)alpha == 1 && *(const float*)beta == 0);
  REQUIRE(algorithm->data[0] == ALGORITHM && algorithm->data[7] == 7);
  const uint64_t number = algorithm->data[1];
  if (number == 2) return CUBLAS_STATUS_NOT_SUPPORTED;
  REQUIRE(number == 0 || (number == 3 && workspace && workspace_size >= WORKSPACE));
  const Description& d = *(Description*)desc;
  const Layout &a = *(Layout*)a_layout, &b = *(Layout*)b_layout, &out = *(Layout*)out_layout;
  if (cublasStatus_t wrong = check(d, a, b, *(Layout*)c_layout, out)) return wrong;
  if (number == 3) memset(workspace, 0x77, WORKSPACE);

  const int64_t K = d.transposed_a ? a.rows : a.columns;
  const auto of_a = [&](int64_t i, int64_t k) {
    return operand(((const float*)A)[d.transposed_a ? k + i * a.ld : i + k * a.ld], d.compute);
  };
  const auto of_b = [&](int64_t k, int64_t j) {
    return operand(((const float*)B)[d.transposed_b ? j + k * b.ld : k + j * b.ld], d.compute);
  };
  for (int64_t j = 0; j < out.columns; ++j) {
    for (int64_t i = 0; i < out.rows; ++i) {
      double sum = has(d.epilogue, BIAS) ? d.vector[i] : 0;
      for (int64_t k = 0; k < K; ++k) sum += (double)of_a(i, k) * of_b(k, j);
      const int64_t bit = d.bits_ld * j + i;
      const unsigned char mask = 1 << bit % 8;
      if (has(d.epilogue, RELU)) {
        if (has(d.epilogue, BITS)) {  // inverted: what they look like is nobody's business
          d.bits[bit / 8] = sum > 0 ? d.bits[bit / 8] & ~mask : d.bits[bit / 8] | mask;
        }
        sum = sum > 0 ? sum : 0;
      } else if (has(d.epilogue, DERIVATIVE) && d.bits[bit / 8] & mask) {
        sum = 0;
      }
      ((float*)D)[i + j * out.ld] = (float)sum;
    }
  }
  for (int64_t i = 0; d.epilogue == CUBLASLT_EPILOGUE_BGRADA && i < out.rows; ++i) {
    double sum = 0;
    for (int64_t k = 0; k < K; ++k) sum += of_a(i, k);
    d.vector[i] = (float)sum;
  }
  last_stream = stream;
  ++runs;
  return CUBLAS_STATUS_SUCCESS;
}

}  // extern "C"
