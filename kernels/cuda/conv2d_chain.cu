// Convolutions one after the other, each alone or with its neighbour, with the parts that these have.
//
//   forward           A block takes some images through all convolutions, and so does no other: what one of them has
//                     written, the next one reads from the cache, after a barrier instead of a launch.
//   input gradients   The same from the last one back to the first.
//   weight gradients  None of them waits for another, so they are done side by side: each convolution has blocks in
//                     proportion to its multiply-adds, which go over many images. (Those that go back have one each,
//                     and would leave as many partial sums.)
//   add partials      All sums of all convolutions, side by side.
//
// So 7 convolutions take 4 launches, forward and back, and not 27, of which at batch 256 each has less to do than it
// takes to begin. Every tensor is still written, for backward: the floor is that of the ops alone. But it is read where
// it was written, and soon: an image of 28x28 pixels has 33 KB between the convolutions of [16, 8, 8] and back, so all
// blocks that an H200 has at a time have 9 MB or, when each takes two images through the chain, 17 MB, in a cache of 50.
#include "conv2d_max_pool2d.cuh"
#include "many.cuh"
#include "up_sampling2d_conv2d.cuh"

enum Neighbour { NONE, MAX_POOL2D, UP_SAMPLING2D };

// A convolution of the chain, and how a block does it. Forward writes y and winner; backward reads them, and writes dx.
struct Link {
  float* dx /*(N, H, W, C)*/;
  const float* dy /*(N, P, Q, O)*/;
  float* y /*(N, P, Q, O)*/;
  unsigned char* winner /*(N, P, Q, O)*/;
  const float* x /*(N, H, W, C)*/;
  const float* w /*(J, K, C, O)*/;
  const float* b /*(O)*/;
  int neighbour, N, H, W, C, P, Q, O, J, K, top, left, convolved_rows, convolved_columns, activation;
  int images, rows, columns, chunk, groups, width, part;
};

__device__ __forceinline__ Work work_of(const Link& link) {
  return {link.images, link.rows, link.columns, link.chunk, link.groups, link.width};
}

// y of this block's images.
__device__ __forceinline__ void forward(const Link& link, int images) {
  const int first = blockIdx.x * images, end = min(first + images, link.N);
  const Image x = {link.x, {end, link.H, link.W, link.C}};
  const Shape shape = {end, link.P, link.Q, link.O};
  const Window window = {link.J, link.K, link.top, link.left};
  const Turn turn = {0, 1, link.part, first};
  if (link.neighbour == MAX_POOL2D) {
    pooled_convolution(link.y, link.winner, x, link.w, link.b, shape, window, link.convolved_rows,
                       link.convolved_columns, link.activation, work_of(link), turn);
  } else if (link.neighbour == UP_SAMPLING2D) {
    upsampled_convolution(link.y, x, link.w, link.b, shape, link.J, link.K, link.top, link.left, link.activation,
                          work_of(link), turn);
  } else {
    convolution(link.y, x, link.w, link.b, shape, window, link.activation, work_of(link), turn);
  }
}

// dx of this block's images.
__device__ __forceinline__ void backward(const Link& link, int images) {
  const int first = blockIdx.x * images, end = min(first + images, link.N);
  const Derivative dz = {link.dy, link.y, {end, link.P, link.Q, link.O}, link.activation};
  const Shape shape = {end, link.H, link.W, link.C};
  const int fold = link.neighbour == UP_SAMPLING2D, top = link.J - 1 - link.top, left = link.K - 1 - link.left;
  const Window window = {link.J + fold, link.K + fold, top, left};
  const Turn turn = {0, 1, link.part, first};
  if (link.neighbour == MAX_POOL2D) {
    const Unpooled unpooled = {dz, link.winner, {end, link.convolved_rows, link.convolved_columns, link.O}};
    input_gradient<0>(link.dx, unpooled, link.w, shape, window, work_of(link), turn);
  } else if (link.neighbour == UP_SAMPLING2D) {
    input_gradient<1>(link.dx, dz, link.w, shape, window, work_of(link), turn);
  } else {
    input_gradient<0>(link.dx, dz, link.w, shape, window, work_of(link), turn);
  }
}

// A block takes `images` through all links. The first thing that a link does is to wait for all threads of the block.
extern "C" __global__ void __launch_bounds__(192, 2)
    conv2d_chain_forward(const __grid_constant__ Many<Link> links, int images) {
  for (int i = 0; i < links.count; ++i) forward(links.at[i], images);
}

// The links come in the order of backward.
extern "C" __global__ void __launch_bounds__(192, 2)
    conv2d_chain_input_gradients(const __grid_constant__ Many<Link> links, int images) {
  for (int i = 0; i < links.count; ++i) backward(links.at[i], images);
}

// ---- gradients of the weights ---------------------------------------------------------------------------------------
// The one of several that this block works for, which have so many blocks each; `block` becomes its number among these.
template <class T>
__device__ __forceinline__ const T& one_of(const Many<T>& many, int& block) {
  int i = 0;
  while (block >= many.at[i].blocks) block -= many.at[i++].blocks;
  return many.at[i];
}

struct Sum {
  float* partial /*(>= parts, J, K, C, O)*/;
  const float* dy /*(N, P, Q, O)*/;
  const float* y /*(N, P, Q, O)*/;
  const unsigned char* winner /*(N, P, Q, O)*/;
  const float* x /*(N, H, W, C)*/;
  int neighbour, N, H, W, C, P, Q, O, J, K, top, left, convolved_rows, convolved_columns, activation, a_is_dz;
  int images, rows, columns, pitch, block_rows, row_groups, column_groups, parts, row_blocks, blocks;
};

extern "C" __global__ void __launch_bounds__(256, 2)
    conv2d_chain_weight_gradients(const __grid_constant__ Many<Sum> sums) {
  int block = blockIdx.x;
  const Sum& s = one_of(sums, block);
  __shared__ Place place;  // in registers there is no room for it
  if (threadIdx.x == 0) {
    place = {block % s.parts, s.parts, block / s.parts % s.row_blocks, block / s.parts / s.row_blocks};
  }
  __syncthreads();
  const Share share = {s.images, s.rows, s.columns, s.pitch, s.block_rows, s.row_groups, s.column_groups};
  const Image x = {s.x, {s.N, s.H, s.W, s.C}};
  const Derivative dz = {s.dy, s.y, {s.N, s.P, s.Q, s.O}, s.activation};
  const Window window = {s.J, s.K, s.top, s.left}, turned = {s.J, s.K, s.J - 1 - s.top, s.K - 1 - s.left};
  if (s.neighbour == MAX_POOL2D) {
    const Unpooled unpooled = {dz, s.winner, {s.N, s.convolved_rows, s.convolved_columns, s.O}};
    weight_gradient<1>(s.partial, x, unpooled, false, window, share, place);
  } else if (s.neighbour == UP_SAMPLING2D) {
    weight_gradient<2>(s.partial, dz, x, true, {s.J + 1, s.K + 1, turned.top, turned.left}, share, place);
  } else if (s.a_is_dz) {
    weight_gradient<1>(s.partial, dz, x, true, turned, share, place);
  } else {
    weight_gradient<1>(s.partial, x, dz, false, window, share, place);
  }
}

struct Gradient {
  float* dw /*(J, K, C, O)*/;
  float* db /*(O)*/;
  const float* partial /*(>= parts, J, K, C, O)*/;
  int parts, J, K, C, O, a_is_dz, fold, accumulate, blocks;
};

extern "C" __global__ void __launch_bounds__(256, 2)
    conv2d_chain_add_partials(const __grid_constant__ Many<Gradient> gradients) {
  int block = blockIdx.x;
  const Gradient& g = one_of(gradients, block);
  add_partials(g.dw, g.db, g.partial, g.parts, g.J, g.K, g.C, g.O, g.a_is_dz, g.fold, g.accumulate, block);
}
