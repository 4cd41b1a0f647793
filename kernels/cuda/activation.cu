// Activations over whole tensors, one thread an element.
//
// Floor: 8 bytes an element forward, 12 backward; nothing else matters. Dense and convolutional layers apply theirs
// where they compute, so this runs for Activation layers only.
#include "common.cuh"

extern "C" __global__ void activation_forward(float* y /*(n)*/, const float* x /*(n)*/, long long n, int activation) {
  long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i < n) y[i] = activate(x[i], activation);
}

extern "C" __global__ void activation_backward(float* dx /*(n)*/, const float* dy /*(n)*/, const float* y /*(n)*/,
                                               long long n, int activation) {
  long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  if (i < n) dx[i] = through_activation(dy[i], activation == LINEAR ? 0.f : y[i], activation);
}
