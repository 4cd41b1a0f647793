// Several structs as one parameter, for a kernel that does several things of one kind:
//
//   extern "C" __global__ void f(const __grid_constant__ Many<Link> links)
//
// Parameters are in the memory of constants, where one index is as near as another. launcher.py fills them.
#pragma once

constexpr int MANY = 16;

template <class T>
struct Many {
  T at[MANY];
  int count;
};
