// What convolutions share, alone and with their neighbours. Three facts let the same code do all of them:
//
//   The gradient of x is a convolution of dz with w turned by 180 degrees, its channels in and out exchanged.
//
//   In an upsampled image neighbours are equal, so weights that meet the same pixel of x are summed first. With w zero
//   outside, v[m, n] = w[m-1, n-1] + w[m-1, n] + w[m, n-1] + w[m, n] are (J+1) x (K+1) sums. A pixel of y needs every
//   second row and column of them, from the first or the second on as its place is even or odd: a 3x3 kernel becomes
//   four 2x2 ones. The gradient of x is a convolution of dz with v turned, in steps of two.
//
//   The gradient of w is a sum over pixels of x[h+j, w+k, c] dz[h, w, o]: a matrix with rows (c, j, k) and columns o.
//   Or it is dz that is displaced: rows (o, J-1-j, K-1-k), columns c. Columns come by eight, so the first way suits
//   many channels out, the second few; of an upsampled image only the second has one matrix for all pixels.
//
// Images come to shared memory channel by channel, with zeros around them: neighbours in a warp compute neighbouring
// pixels, and read neighbouring numbers for every tap. Where they are S pixels apart, an image lies in S x S parts.
#include "common.cuh"

struct Shape {
  int N, H, W, C;
};

// J x K taps, the first of which takes output pixel (h, w) to the input's pixel (stride h - top, stride w - left).
struct Window {
  int J, K, top, left;
};

__device__ __forceinline__ int ceil_div(int n, int size) { return (n + size - 1) / size; }

// ---- images in memory -----------------------------------------------------------------------------------------------
// V = 1 or 4 channels of a pixel. They are fetched and become values later, so that several fetches are on their way.
// Not by __ldg: in a chain (conv2d_chain.cu) the same kernel has written them.
template <int V>
struct Numbers {
  float at[V];
};

template <int V>
__device__ __forceinline__ Numbers<V> load(const float* from) {
  if constexpr (V == 4) {
    const float4 four = *reinterpret_cast<const float4*>(from);
    return {four.x, four.y, four.z, four.w};
  } else {
    return {*from};
  }
}

__device__ __forceinline__ bool is_aligned(const void* p) { return reinterpret_cast<unsigned long long>(p) % 16 == 0; }

struct Image {
  template <int V>
  using Fetched = Numbers<V>;
  const float* x;
  Shape shape;

  __device__ __forceinline__ bool by_fours() const { return shape.C % 4 == 0 && is_aligned(x); }
  template <int V>
  __device__ __forceinline__ Fetched<V> fetch(long long at) const {
    return load<V>(x + at);
  }
  template <int V>
  __device__ __forceinline__ Numbers<V> value(const Fetched<V>& fetched) const {
    return fetched;
  }
};

// dz = dy activation'(y).
struct Derivative {
  template <int V>
  struct Fetched {
    Numbers<V> dy, y;
  };
  const float *dy, *y;  // y is not read if the activation is linear
  Shape shape;
  int activation;

  __device__ __forceinline__ bool by_fours() const { return shape.C % 4 == 0 && is_aligned(dy) && is_aligned(y); }
  template <int V>
  __device__ __forceinline__ Fetched<V> fetch(long long at) const {
    return {load<V>(dy + at), activation == LINEAR ? Numbers<V>{} : load<V>(y + at)};
  }
  template <int V>
  __device__ __forceinline__ Numbers<V> value(const Fetched<V>& fetched) const {
    Numbers<V> dz;
#pragma unroll
    for (int k = 0; k < V; ++k) dz.at[k] = through_activation(fetched.dy.at[k], fetched.y.at[k], activation);
    return dz;
  }
};

// dz of a convolution that is pooled: dy activation'(y) at the winner of each 2x2 window, else 0.
struct Unpooled {
  Derivative pooled;
  const unsigned char* winner;
  Shape shape;  // of dz

  __device__ __forceinline__ bool by_fours() const { return pooled.by_fours() && is_aligned(winner); }
};

// ---- images in shared memory ----------------------------------------------------------------------------------------
// What output_rows x output_columns pixels of some images need, channel by channel: tile[c * plane + place(image, row,
// column)], zeros outside the images. What is read in steps of S lies together: each S-th row and column is a part.
template <int S>
struct BorderedTile {
  int images, rows, columns;                  // pixels
  int top, left, own_rows, own_columns;       // of these, the ones that are no other tile's own
  int part_columns, part, image_size, plane;  // numbers

  __device__ __forceinline__ BorderedTile(const Window& window, int images, int output_rows, int output_columns,
                                          int stride)
      : images(images),
        rows(stride * (output_rows - 1) + window.J),
        columns(stride * (output_columns - 1) + window.K),
        top(window.top),
        left(window.left),
        own_rows(stride * output_rows),
        own_columns(stride * output_columns) {
    part_columns = ceil_div(columns, S);
    part = ceil_div(rows, S) * part_columns;
    image_size = S * S * part;
    plane = images * image_size | 1;  // odd: the channels of a pixel are in different banks
  }

  __device__ __forceinline__ int offset(unsigned row, unsigned column) const {
    return (row % S * S + column % S) * part + row / S * part_columns + column / S;
  }
  __device__ __forceinline__ int place(int image, int row, int column) const {
    return image * image_size + offset(row, column);
  }
  __device__ __forceinline__ bool is_own(int row, int column) const {
    return static_cast<unsigned>(row - top) < own_rows && static_cast<unsigned>(column - left) < own_columns;
  }
  template <int V>
  __device__ __forceinline__ void put(float* to, const Numbers<V>& v) const {
#pragma unroll
    for (int k = 0; k < V; ++k) to[k * plane] = v.at[k];
  }
};

// Pixels without a border, one after the other, rows `pitch` pixels apart: a thread reads the channels of a pixel by
// fours, and as its distance to the next one is an odd number of fours, eight neighbours read from all 32 banks.
struct PixelTile {
  int images, rows, columns, pitch, step;
  static constexpr int plane = 1;

  __device__ __forceinline__ PixelTile(int images, int rows, int columns, int pitch, int channels)
      : images(images), rows(rows), columns(columns), pitch(pitch), step(channels + 4) {}

  __device__ __forceinline__ int place(int image, int row, int column) const {
    return ((image * rows + row) * pitch + column) * step;
  }
  __device__ __forceinline__ bool is_own(int, int) const { return true; }
  template <int V>
  __device__ __forceinline__ void put(float* to, const Numbers<V>& v) const {
    if constexpr (V == 4) {
      *reinterpret_cast<float4*>(to) = make_float4(v.at[0], v.at[1], v.at[2], v.at[3]);
    } else {
      to[0] = v.at[0];
    }
  }
};

// Where a tile begins in a tensor; row and column are negative in the border.
struct Origin {
  int image, row, column, channel;
};

// How many channels of a source are read at once.
template <class Source>
__device__ __forceinline__ int channels_at_once(const Source& source, int first, int channels) {
  return source.by_fours() && first % 4 == 0 && channels % 4 == 0 ? 4 : 1;
}

// The logarithm of how many lanes read the channels of a pixel, V each. The next lanes have the pixel's neighbours. As
// it is a power of two, a lane always has the same channels.
__device__ __forceinline__ int log_lanes(int channels, int V) {
  int log = 0;
  while (V << log < channels) ++log;
  return log;
}

// Goes over rows of pixels, which are dealt out to the warps, some columns at a time.
struct Walk {
  int image = 0, row = threadIdx.x / WARP, column = 0;
  int rows, columns, step;

  __device__ __forceinline__ Walk(int rows, int columns, int step) : rows(rows), columns(columns), step(step) {
    wrap();
  }
  __device__ __forceinline__ void next() {
    column += step;
    if (column < columns) return;
    column = 0, row += blockDim.x / WARP;
    wrap();
  }
  __device__ __forceinline__ void wrap() {
    while (row >= rows) row -= rows, ++image;
  }
};

// COUNT pixels are on their way to a thread at once.
template <int V, int COUNT, class Tile, class Source>
__device__ __forceinline__ void fill_by(float* tile_memory, const Tile& tile, const Source& source,
                                        const Origin& origin, int channels, float (&sum)[4]) {
  const Shape& shape = source.shape;
  const int lane = threadIdx.x % WARP, log = log_lanes(channels, V), c = V * (lane & ((1 << log) - 1));
  Walk at(tile.rows, tile.columns, WARP >> log);
  while (at.image < tile.images) {
    typename Source::template Fetched<V> fetched[COUNT];
    int place[COUNT];  // in the tile; negative for what is not in it
    bool own[COUNT];
#pragma unroll
    for (int i = 0; i < COUNT; ++i, at.next()) {
      const int column = at.column + (lane >> log);
      const int n = origin.image + at.image, h = origin.row + at.row, w = origin.column + column;
      const bool exists = at.image < tile.images && column < tile.columns && c < channels;
      const bool inside = n < shape.N && h >= 0 && h < shape.H && w >= 0 && w < shape.W;
      place[i] = exists ? tile.place(at.image, at.row, column) + c * tile.plane : -1;
      own[i] = exists && tile.is_own(at.row, column);
      fetched[i] = {};
      if (exists && inside) {
        const long long pixel = (static_cast<long long>(n) * shape.H + h) * shape.W + w;
        fetched[i] = source.template fetch<V>(pixel * shape.C + origin.channel + c);
      }
    }
#pragma unroll
    for (int i = 0; i < COUNT; ++i) {
      const Numbers<V> v = source.value(fetched[i]);
      if (place[i] >= 0) tile.put(tile_memory + place[i], v);
#pragma unroll
      for (int k = 0; k < V; ++k) sum[k] += own[i] ? v.at[k] : 0.f;
    }
  }
}

// Each number of dy goes to one of four pixels. The sums are those of a tile without a border.
template <int V, int COUNT, class Tile>
__device__ __forceinline__ void fill_by(float* tile_memory, const Tile& tile, const Unpooled& source,
                                        const Origin& origin, int channels, float (&sum)[4]) {
  const Derivative& pooled = source.pooled;
  const int lane = threadIdx.x % WARP, log = log_lanes(channels, V), c = V * (lane & ((1 << log) - 1));
  const int p = origin.row >> 1, rows = ((origin.row + tile.rows - 1) >> 1) - p + 1;  // of windows that the tile meets
  const int q = origin.column >> 1, columns = ((origin.column + tile.columns - 1) >> 1) - q + 1;
  for (Walk at(rows, columns, WARP >> log); at.image < tile.images; at.next()) {
    const int n = origin.image + at.image, h = p + at.row, w = q + at.column + (lane >> log);
    const bool inside = n < pooled.shape.N && h >= 0 && h < pooled.shape.H && w >= 0 && w < pooled.shape.W;
    Derivative::Fetched<V> fetched = {};
    unsigned winners = 0;  // a byte for each channel
    if (inside && c < channels) {
      const long long pixel = (static_cast<long long>(n) * pooled.shape.H + h) * pooled.shape.W + w;
      const long long from = pixel * pooled.shape.C + origin.channel + c;
      fetched = pooled.fetch<V>(from);
      winners = V == 4 ? __ldg(reinterpret_cast<const unsigned*>(source.winner + from)) : __ldg(source.winner + from);
    }
    const Numbers<V> v = pooled.value(fetched);
#pragma unroll
    for (int pixel = 0; pixel < 4; ++pixel) {
      const int row = 2 * h + pixel / 2 - origin.row, column = 2 * w + pixel % 2 - origin.column;
      if (row < 0 || row >= tile.rows || column < 0 || column >= tile.columns || c >= channels) continue;
      Numbers<V> dz;
#pragma unroll
      for (int k = 0; k < V; ++k) {
        dz.at[k] = (winners >> 8 * k & 255) == pixel ? v.at[k] : 0.f;
        sum[k] += dz.at[k];
      }
      tile.put(tile_memory + tile.place(at.image, row, column) + c * tile.plane, dz);
    }
  }
}

// Copies `channels` <= 32 channels of a source to shared memory. With `sums`, four for each thread, the tile's own
// pixels are added to the sums of the thread that has read them.
template <int FOURS, class Tile, class Source>
__device__ __forceinline__ void fill(float* tile_memory, const Tile& tile, const Source& source, const Origin& origin,
                                     int channels, float* sums = nullptr) {
  float sum[4] = {};
  if (channels_at_once(source, origin.channel, channels) == 4) {
    fill_by<4, FOURS>(tile_memory, tile, source, origin, channels, sum);
  } else {
    fill_by<1, 2 * FOURS>(tile_memory, tile, source, origin, channels, sum);
  }
  if (sums == nullptr) return;
#pragma unroll
  for (int k = 0; k < 4; ++k) sums[k * blockDim.x + threadIdx.x] += sum[k];
}

// ---- weights in shared memory ---------------------------------------------------------------------------------------
// w (J, K, C, O); with FOLD = 1 the sums for an upsampled image; with TURNED as the gradient of x needs them.
template <bool TURNED, int FOLD>
struct Weights {
  const float* w;
  int J, K, C, O;

  __device__ __forceinline__ int taps() const { return (J + FOLD) * (K + FOLD); }

  // to[(tap * chunk + in) * columns + out], for some channels in and out; those that there are not are zeros.
  __device__ __forceinline__ void fill(float* to, int first_in, int channels, int chunk, int first_out,
                                       int columns) const {
    const int pairs = channels * columns, outputs = TURNED ? C : O;
    for (int i = threadIdx.x; i < (J + FOLD) * pairs; i += blockDim.x) {  // a row of taps, for a pair of channels
      const int row = i / pairs, in = i % pairs / columns, out = i % pairs % columns;
      const int c = TURNED ? first_out + out : first_in + in, o = TURNED ? first_in + in : first_out + out;
      const int j = TURNED ? J - 1 - row : row - FOLD;  // the first of FOLD + 1 rows of w
      for (int column = 0; column < K + FOLD; ++column) {
        const int k = TURNED ? K - 1 - column : column - FOLD;
        float sum = 0.f;
#pragma unroll
        for (int m = j; m <= j + FOLD; ++m) {
#pragma unroll
          for (int n = k; n <= k + FOLD; ++n) {
            const bool inside = m >= 0 && m < J && n >= 0 && n < K && first_out + out < outputs;
            if (inside) sum += __ldg(w + ((static_cast<long long>(m) * K + n) * C + c) * O + o);
          }
        }
        to[((row * (K + FOLD) + column) * chunk + in) * columns + out] = sum;
      }
    }
  }
};

// ---- convolution ----------------------------------------------------------------------------------------------------
// A thread computes a cell: 2 x 2 pixels of `width` channels, in registers. For each tap of each channel it reads four
// numbers of x and `width` weights, which are the same for neighbours, and does four times as many multiply-adds.
constexpr int WIDTH = 8;  // at most; or 4, or 1, where there are no more, or cells for a part of a warp

// A block computes tiles of images x rows x columns cells of `groups` times `width` channels, from `chunk` channels at
// a time.
struct Work {
  int images, rows, columns, chunk, groups, width;
};

// Which tiles a block computes: of the images from `image` on, every `step`-th from the first one; and of the parts into
// which their channels are cut, groups * width each, the part-th.
struct Turn {
  int first, step, part, image;
};

// The turn of a block that shares all tiles with all others of the launch.
__device__ __forceinline__ Turn turn_of_block() {
  return {static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x), static_cast<int>(blockIdx.y), 0};
}

// A thread's cell, in one tile after the other.
struct Cell {
  int image, row, column;                    // in the tile
  int group;                                 // of channels
  int first_channel;                         // of its part
  int phase;                                 // 0 ... 3: which pixels of an upsampled image's 2 x 2 it computes
  bool active;                               // false if there is nothing left for the thread
  int first_image, first_row, first_column;  // of the tile

  __device__ __forceinline__ Cell(const Work& work, const Turn& turn, int phases) {
    first_channel = turn.part * work.groups * work.width;
    const unsigned size = work.rows * work.columns, cells = work.images * size, cell = threadIdx.x % cells;
    image = cell / size, row = cell % size / work.columns, column = cell % work.columns;
    group = threadIdx.x / cells % work.groups, phase = threadIdx.x / cells / work.groups;
    active = phase < phases;
  }

  // Goes to a tile of those that the images up to N have, of rows x columns cells; false behind the last one.
  __device__ __forceinline__ bool go_to(int tile, const Turn& turn, const Work& work, int N, int rows, int columns) {
    const unsigned across = ceil_div(columns, work.columns), down = ceil_div(rows, work.rows);
    first_column = tile % across * work.columns;
    first_row = tile / across % down * work.rows;
    first_image = turn.image + tile / across / down * work.images;
    return first_image < N;
  }
  __device__ __forceinline__ int n() const { return first_image + image; }
  __device__ __forceinline__ int u() const { return first_row + row; }
  __device__ __forceinline__ int v() const { return first_column + column; }
};

// A thread's taps: how many; where the first is in the tile and among the weights; how far the next ones are there.
struct Taps {
  int J, K, row, column, weight, weight_row, weight_column;
};

// Adds one tap of one channel to the four pixels' sums.
template <int STRIDE, int COUNT, int S>
__device__ __forceinline__ void add_tap(float (&z)[4][WIDTH], const float* x, const BorderedTile<S>& tile, int row,
                                        int column, const float* w) {
  float weight[COUNT];
  if constexpr (COUNT == 1) {
    weight[0] = w[0];
  } else {
#pragma unroll
    for (int o = 0; o < COUNT; o += 4) {
      const float4 four = *reinterpret_cast<const float4*>(w + o);
      weight[o] = four.x, weight[o + 1] = four.y, weight[o + 2] = four.z, weight[o + 3] = four.w;
    }
  }
#pragma unroll
  for (int pixel = 0; pixel < 4; ++pixel) {
    const float value = x[tile.offset(STRIDE * (pixel / 2) + row, STRIDE * (pixel % 2) + column)];
#pragma unroll
    for (int o = 0; o < COUNT; ++o) z[pixel][o] += value * weight[o];
  }
}

// The sums over some channels and all taps; x is at the thread's cell. For the usual taps, UNROLLED x UNROLLED, the
// compiler reads a number of x once for all that need it.
template <int STRIDE, int UNROLLED, int COUNT, int S>
__device__ __forceinline__ void add_taps(float (&z)[4][WIDTH], const float* x, const BorderedTile<S>& tile,
                                         const float* w, int columns, int channels, const Taps& taps) {
  if (taps.J == UNROLLED && taps.K == UNROLLED) {
#pragma unroll 1
    for (int c = 0; c < channels; ++c) {
#pragma unroll
      for (int j = 0; j < UNROLLED; ++j) {
#pragma unroll
        for (int k = 0; k < UNROLLED; ++k) {
          add_tap<STRIDE, COUNT>(z, x + c * tile.plane, tile, taps.row + j, taps.column + k,
                                 w + j * taps.weight_row + k * taps.weight_column + c * columns);
        }
      }
    }
  } else {
    for (int j = 0; j < taps.J; ++j) {
      for (int k = 0; k < taps.K; ++k) {
        const float* tap = w + j * taps.weight_row + k * taps.weight_column;
#pragma unroll 1
        for (int c = 0; c < channels; ++c) {
          add_tap<STRIDE, COUNT>(z, x + c * tile.plane, tile, taps.row + j, taps.column + k, tap + c * columns);
        }
      }
    }
  }
}

// z = the convolution of a source at a thread's cell. The weights come with a block's first tile, or with every one if
// there is no room for all channels.
template <int STRIDE, int UNROLLED, class Source, class W>
__device__ __forceinline__ void convolve(float (&z)[4][WIDTH], const Source& source, const W& weights,
                                         const Window& window, Taps taps, const Cell& cell, const Work& work,
                                         bool is_first) {
  constexpr int STEP = 2 * STRIDE;  // from a cell to the next
  const BorderedTile<STEP> tile(window, work.images, 2 * work.rows, 2 * work.columns, STRIDE);
  const int columns = work.groups * work.width, tap = work.chunk * columns, C = source.shape.C;
  taps.weight *= tap, taps.weight_row *= tap, taps.weight_column *= tap;
#pragma unroll
  for (int pixel = 0; pixel < 4; ++pixel) {
#pragma unroll
    for (int o = 0; o < WIDTH; ++o) z[pixel][o] = 0.f;
  }
  extern __shared__ float memory[];
  float* w = memory;
  float* x = memory + weights.taps() * tap;
  const float* w_first = w + taps.weight + cell.group * work.width;
  const float* x_first = x + cell.image * tile.image_size + cell.row * tile.part_columns + cell.column;
  for (int c = 0; c < C; c += work.chunk) {
    const int channels = min(work.chunk, C - c);
    __syncthreads();  // the sums before have been made, and in a chain all of x
    if (is_first || work.chunk < C) weights.fill(w, c, channels, work.chunk, cell.first_channel, columns);
    const int row = STEP * cell.first_row - window.top, column = STEP * cell.first_column - window.left;
    fill<2>(x, tile, source, {cell.first_image, row, column, c}, channels);
    __syncthreads();
    if (!cell.active) continue;
    if (work.width == 1) {
      add_taps<STRIDE, UNROLLED, 1>(z, x_first, tile, w_first, columns, channels, taps);
    } else if (work.width == 4) {
      add_taps<STRIDE, UNROLLED, 4>(z, x_first, tile, w_first, columns, channels, taps);
    } else {
      add_taps<STRIDE, UNROLLED, 8>(z, x_first, tile, w_first, columns, channels, taps);
    }
  }
}

// The first `count` of the numbers v, or all, to y.
__device__ __forceinline__ void write(float* y, const float (&v)[WIDTH], int count, bool by_fours) {
  if (by_fours) {
#pragma unroll
    for (int o = 0; o < WIDTH; o += 4) {
      if (o < count) *reinterpret_cast<float4*>(y + o) = make_float4(v[o], v[o + 1], v[o + 2], v[o + 3]);
    }
  } else {
#pragma unroll
    for (int o = 0; o < WIDTH; ++o) {
      if (o < count) y[o] = v[o];
    }
  }
}

// The first of the thread's channels, and how many it has of C.
__device__ __forceinline__ int own_channel(const Cell& cell, const Work& work) {
  return cell.first_channel + cell.group * work.width;
}
__device__ __forceinline__ int count_channels(const Cell& cell, const Work& work, int C) {
  return cell.active ? min(work.width, C - own_channel(cell, work)) : 0;
}

// y = activation(z + b) for the cell's pixels that are inside. With SCALE = 2 they are one of four of each pixel.
template <int SCALE>
__device__ __forceinline__ void write_cell(float* y, float (&z)[4][WIDTH], const float* b, const Shape& shape,
                                           const Cell& cell, const Work& work, int activation) {
  const int o = own_channel(cell, work), count = count_channels(cell, work, shape.C);
  const bool by_fours = (shape.C | work.width) % 4 == 0 && is_aligned(y);
  if (count <= 0 || cell.n() >= shape.N) return;
#pragma unroll
  for (int i = 0; i < WIDTH; ++i) {
    if (i >= count) break;
    const float bias = b == nullptr ? 0.f : __ldg(b + o + i);
#pragma unroll
    for (int pixel = 0; pixel < 4; ++pixel) z[pixel][i] = activate(z[pixel][i] + bias, activation);
  }
#pragma unroll
  for (int pixel = 0; pixel < 4; ++pixel) {
    const int h = SCALE * (2 * cell.u() + pixel / 2) + cell.phase / 2;
    const int w = SCALE * (2 * cell.v() + pixel % 2) + cell.phase % 2;
    if (h >= shape.H || w >= shape.W) continue;
    const long long at = ((static_cast<long long>(cell.n()) * shape.H + h) * shape.W + w) * shape.C + o;
    write(y + at, z[pixel], count, by_fours);
  }
}

// y, of a convolution alone.
__device__ __forceinline__ void convolution(float* y, const Image& x, const float* w, const float* b,
                                            const Shape& shape, const Window& window, int activation, const Work& work,
                                            const Turn& turn) {
  const Weights<false, 0> weights = {w, window.J, window.K, x.shape.C, shape.C};
  const Taps taps = {window.J, window.K, 0, 0, 0, window.K, 1};
  Cell cell(work, turn, 1);
  for (int tile = turn.first; cell.go_to(tile, turn, work, shape.N, ceil_div(shape.H, 2), ceil_div(shape.W, 2));
       tile += turn.step) {
    float z[4][WIDTH];
    convolve<1, 3>(z, x, weights, window, taps, cell, work, tile == turn.first);
    write_cell<1>(y, z, b, shape, cell, work, activation);
  }
}

// dx, where dz is computed as it is read. FOLD = 1: of an image that was upsampled.
template <int FOLD, class Source>
__device__ __forceinline__ void input_gradient(float* dx, const Source& dz, const float* w, const Shape& shape,
                                               const Window& window, const Work& work, const Turn& turn) {
  const Weights<true, FOLD> weights = {w, window.J - FOLD, window.K - FOLD, shape.C, dz.shape.C};
  const Taps taps = {window.J, window.K, 0, 0, 0, window.K, 1};
  Cell cell(work, turn, 1);
  for (int tile = turn.first; cell.go_to(tile, turn, work, shape.N, ceil_div(shape.H, 2), ceil_div(shape.W, 2));
       tile += turn.step) {
    float z[4][WIDTH];
    convolve<1 + FOLD, 3 + FOLD>(z, dz, weights, window, taps, cell, work, tile == turn.first);
    write_cell<1>(dx, z, nullptr, shape, cell, work, LINEAR);
  }
}

// ---- gradient of the weights ----------------------------------------------------------------------------------------
// A warp sums ROWS rows (channels of `a` at a tap) x COLUMNS columns (channels of `b`), a pixel of b a lane: 72
// multiply-adds for 9 numbers of a and two fours of b. Blocks leave partial sums, which add_partials adds up.
constexpr int ROWS = 9, COLUMNS = 8, CELLS = ROWS * COLUMNS, WARPS = 8;

// A block goes over tiles of images x rows x columns pixels of b. Its warps share row_groups x column_groups groups, in
// which are `block_rows` rows. Rows of pixels are dealt out to the lanes as if they had `pitch` pixels: as many as in a's
// tile, and a warp's numbers of a are in different banks, but lanes that get no pixel wait.
struct Share {
  int images, rows, columns, pitch, block_rows, row_groups, column_groups;
};

// The place of a block: it goes over every `parts`-th tile from the part-th on, for some of the rows and columns.
struct Place {
  int part, parts, row_block, column_block;
};

// The place of a block in a launch for one convolution.
__device__ __forceinline__ Place place_of_block() {
  return {static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x), static_cast<int>(blockIdx.y),
          static_cast<int>(blockIdx.z)};
}

// The sum over the warp of v[l / 4], in lane l. In three steps each lane keeps half of its numbers and gives the others
// to a lane that keeps these; two more steps add up what four lanes have.
__device__ __forceinline__ float sum_columns(float (&v)[COLUMNS]) {
  const int lane = threadIdx.x % WARP;
#pragma unroll
  for (int half = COLUMNS / 2, step = WARP / 2; half > 0; half /= 2, step /= 2) {
    const bool upper = lane & step;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float kept = upper ? v[i + half] : v[i], given = upper ? v[i] : v[i + half];
      v[i] = kept + __shfl_xor_sync(ALL, given, step);
    }
  }
  v[0] += __shfl_xor_sync(ALL, v[0], 2);
  return v[0] + __shfl_xor_sync(ALL, v[0], 1);
}

// partial[part] = the sums, rows x columns, and then db: the sums of dz, which is a or b.
template <int STRIDE, class A, class B>
__device__ __forceinline__ void weight_gradient(float* partial, const A& a, const B& b, bool a_is_dz,
                                                const Window& window, const Share& share, const Place& block) {
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  const int taps = window.J * window.K, all_rows = a.shape.C * taps, all_columns = b.shape.C;
  const int first_row = block.row_block * share.block_rows;
  const int first_column = block.column_block * share.column_groups * COLUMNS;
  const int last_row = min(first_row + share.block_rows, all_rows) - 1, first_channel = first_row / taps;
  const int a_channels = last_row / taps - first_channel + 1;
  const int b_channels = min(share.column_groups * COLUMNS, all_columns - first_column);
  const int items = share.row_groups * share.column_groups;
  const int sharing = WARPS / items, item = warp % items, part = warp / items;  // warps of an item share the pixels

  const BorderedTile<STRIDE> a_tile(window, share.images, share.rows, share.columns, STRIDE);
  const PixelTile b_tile(share.images, share.rows, share.columns, share.pitch, share.column_groups * COLUMNS);
  const int image_pixels = share.rows * share.pitch, pixels = share.images * image_pixels;
  extern __shared__ float memory[];
  float* dz_sums = memory;  // four for each thread
  float* b_memory = dz_sums + 4 * WARPS * WARP;
  float* a_memory = b_memory + pixels * b_tile.step;
  int* row_places = reinterpret_cast<int*>(a_memory + a_channels * a_tile.plane);  // of the block's rows in a's tile
  int* pixel_places = row_places + WARPS * ROWS;  // of b's pixels in a plane of it, -1 where there is none
  for (int i = threadIdx.x; i < share.row_groups * ROWS; i += blockDim.x) {
    const int row = min(first_row + i, last_row), tap = row % taps;
    row_places[i] = (row / taps - first_channel) * a_tile.plane + a_tile.offset(tap / window.K, tap % window.K);
  }
  for (int p = threadIdx.x; p < pixels; p += blockDim.x) {
    const int image = p / image_pixels, row = p % image_pixels / share.pitch, column = p % share.pitch;
    pixel_places[p] = column < share.columns ? a_tile.place(image, STRIDE * row, STRIDE * column) : -1;
  }
  // zeros, too, in the place of channels that b does not have
  for (int i = threadIdx.x; i < 4 * WARPS * WARP + pixels * b_tile.step; i += blockDim.x) memory[i] = 0.f;
  const float* b_first = b_memory + item / share.row_groups * COLUMNS;
  float sum[ROWS][COLUMNS] = {};

  const int across = ceil_div(b.shape.W, share.columns), down = ceil_div(b.shape.H, share.rows);
  const int tiles = ceil_div(b.shape.N, share.images) * down * across;
  for (int tile = block.part; tile < tiles; tile += block.parts) {
    const int image = tile / across / down * share.images;
    const int row = tile / across % down * share.rows, column = tile % across * share.columns;
    __syncthreads();  // the sums over the tile before have been made
    fill<1>(a_memory, a_tile, a, {image, STRIDE * row - window.top, STRIDE * column - window.left, first_channel},
            a_channels, a_is_dz ? dz_sums : nullptr);
    fill<1>(b_memory, b_tile, b, {image, row, column, first_column}, b_channels, a_is_dz ? nullptr : dz_sums);
    __syncthreads();
    int place[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; ++i) place[i] = row_places[item % share.row_groups * ROWS + i];
    for (int p = part * WARP + lane; p < pixels && part < sharing; p += sharing * WARP) {
      if (pixel_places[p] < 0) continue;
      const float* a_at = a_memory + pixel_places[p];
      const float4* b_at = reinterpret_cast<const float4*>(b_first + p * b_tile.step);
      const float4 low = b_at[0], high = b_at[1];
      const float value[COLUMNS] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
      for (int i = 0; i < ROWS; ++i) {
        const float x = a_at[place[i]];
#pragma unroll
        for (int k = 0; k < COLUMNS; ++k) sum[i][k] += x * value[k];
      }
    }
  }

  __syncthreads();
  float* sums = b_memory;  // of each warp
#pragma unroll
  for (int i = 0; i < ROWS; ++i) {
    const float total = sum_columns(sum[i]);
    if (lane % 4 == 0) sums[warp * CELLS + i * COLUMNS + lane / 4] = total;
  }
  __syncthreads();
  const long long products = static_cast<long long>(all_rows) * all_columns;
  float* out = partial + block.part * (products + (a_is_dz ? a.shape.C : b.shape.C));
  for (int i = threadIdx.x; i < items * CELLS; i += blockDim.x) {
    const int group = i / CELLS, row = first_row + group % share.row_groups * ROWS + i % CELLS / COLUMNS;
    const int column = first_column + group / share.row_groups * COLUMNS + i % COLUMNS;
    if (row > last_row || column >= all_columns) continue;
    float total = 0.f;
    for (int k = 0; k < sharing; ++k) total += sums[k * items * CELLS + i];
    out[static_cast<long long>(row) * all_columns + column] = total;
  }

  // Several blocks may have read a channel of dz: the one that has its first row, or the first row of all, writes db.
  const int dz_channels = a_is_dz ? a_channels : b_channels, dz_first = a_is_dz ? first_channel : first_column;
  const int V = a_is_dz ? channels_at_once(a, dz_first, dz_channels) : channels_at_once(b, dz_first, dz_channels);
  const int lanes = 1 << log_lanes(dz_channels, V);
  for (int c = warp; c < dz_channels; c += WARPS) {  // a channel a warp; of `lanes` threads one has a share of it
    float total = 0.f;
    for (int t = c / V + lane * lanes; t < blockDim.x; t += WARP * lanes) total += dz_sums[c % V * blockDim.x + t];
    total = warp_sum(total);
    const bool mine = a_is_dz ? first_column == 0 && (dz_first + c) * taps >= first_row : first_row == 0;
    if (lane == 0 && mine) out[products + dz_first + c] = total;
  }
}

// dw and db, or what of them is not null, from what `parts` blocks have left. Of the blocks that do this, each takes 32
// numbers, a lane one of them and each warp every eighth part. With fold = 1 a weight's gradient is that of the 2 x 2
// sums which it belongs to.
__device__ __forceinline__ void add_partials(float* dw, float* db, const float* partial, int parts, int J, int K, int C,
                                             int O, int a_is_dz, int fold, int accumulate, int block) {
  __shared__ float sums[WARPS][WARP];
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
  const long long weights = static_cast<long long>(J) * K * C * O;
  const long long products = static_cast<long long>(J + fold) * (K + fold) * C * O;
  const long long i = static_cast<long long>(block) * WARP + lane;
  const bool is_weight = i < weights, is_bias = !is_weight && i < weights + O;

  // neighbours read neighbours: i counts channel of a, tap, channel of b
  const int inner = a_is_dz ? C : O, b = i % inner, k = i / inner % K, j = i / inner / K % J, a = i / inner / K / J;
  const int row = a_is_dz ? J - 1 - j : j, column = a_is_dz ? K - 1 - k : k, more = is_weight ? fold : 0;
  const long long at = is_bias ? products + i - weights
                               : ((static_cast<long long>(a) * (J + fold) + row) * (K + fold) + column) * inner + b;
  float sum = 0.f;
  if (is_weight || is_bias) {
#pragma unroll 4
    for (int part = warp; part < parts; part += WARPS) {
      const float* from = partial + part * (products + O) + at;
      for (int m = 0; m <= more; ++m) {
        for (int n = 0; n <= more; ++n) sum += from[(static_cast<long long>(m) * (K + fold) + n) * inner];
      }
    }
  }
  sums[warp][lane] = sum;
  __syncthreads();
  if (warp > 0) return;
#pragma unroll
  for (int other = 1; other < WARPS; ++other) sum += sums[other][lane];
  const int c = a_is_dz ? b : a, o = a_is_dz ? a : b;
  float* to = is_weight ? dw : db;
  const long long place = is_weight ? ((static_cast<long long>(j) * K + k) * C + c) * O + o : i - weights;
  if ((is_weight || is_bias) && to != nullptr) to[place] = accumulate ? to[place] + sum : sum;
}
