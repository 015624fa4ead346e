// SPDX-License-Identifier: BSD-3-Clause
// Streams of sparse arrays as decoders get them: plain or in trees, whole or damaged, in memory or in files that may be
// cut off, read by calls that are interrupted, give less than was asked for, or fail.
#pragma once
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <optional>

#include "guarded.h"
#include "huffman_oracle.h"
#include "kernels/gaps/coded.h"
#include "mutants.h"

namespace {

using namespace accel;
using mutants::any_byte, mutants::below, mutants::mutate_once;
using oracle::Bytes;
using std::size_t;
using std::uint8_t;

bool reading_failed = false;  // bytes were missing: nothing may be accepted

const uint8_t* copy_to(Guarded& memory, const Bytes& bytes) {
  uint8_t* const p = memory.last(bytes.size());
  std::copy(bytes.begin(), bytes.end(), p);
  return p;
}

Bytes any_bytes(size_t n) {
  Bytes bytes(n);
  std::generate(bytes.begin(), bytes.end(), any_byte);
  return bytes;
}

// The only bytes of a file, which may lack the last ones.
int file_of(const Bytes& bytes, size_t first) {
  const int file = memfd_create("block", 0);
  const Bytes before = any_bytes(first);
  const size_t stored = bytes.size() - (below(16) ? 0 : below(bytes.size() + 1));
  if (file < 0 || write(file, before.data(), first) != static_cast<ssize_t>(first) ||
      write(file, bytes.data(), stored) != static_cast<ssize_t>(stored))
    std::abort();
  reading_failed |= stored < bytes.size();
  return file;
}

// Bytes as they are, or as a block of trees, which may be damaged.
struct Coded {
  Bytes block;
  std::int64_t end = 0;
  bool trees;
  std::optional<Bytes> symbols;  // that a decoder must find

  Coded(const Bytes& bytes, size_t isa) : block(bytes), trees(!bytes.empty() && below(4)), symbols(bytes) {
    if (!trees) return;
    static Bytes work(kTreeScratch);
    block.resize(tree_bound(bytes.size()));
    block.resize(tree_encode(bytes.data(), bytes.size(), isa, block.data(), &end, work.data()));
    if (below(2)) return;
    mutate_once(block, Bytes(block));
    end = static_cast<std::int64_t>(block.size()) + (below(8) ? 0 : 1 - static_cast<std::int64_t>(below(3)));
    try {
      Bytes within(block);
      if (end > static_cast<std::int64_t>(within.size())) throw oracle::Refused();
      within.resize(static_cast<size_t>(end));
      symbols = oracle::decode(within, bytes.size(), true, true);
    } catch (const oracle::Refused&) {
      symbols.reset();
    }
  }
  ~Coded() {
    if (file >= 0) close(file);
  }
  CodedBytes at(Guarded& memory, Guarded& room, size_t n) {
    if (!trees || end <= 0 || below(2)) return {{copy_to(memory, block), block.size()}, trees ? &end : nullptr, n};
    const size_t first = below(99);
    Bytes within(block);
    within.resize(std::min(block.size(), static_cast<size_t>(end)));
    file = file_of(within, first);
    return {{nullptr, static_cast<size_t>(end), file, static_cast<std::int64_t>(first), room.last(kWindow)}, &end, n};
  }
  int file = -1;
};

}  // namespace

// In place of the C library's.
extern "C" ssize_t pread(int file, void* to, size_t n, off_t at) {
  if (!below(4) || !below(500)) {
    errno = below(100) ? EINTR : EIO;
    reading_failed |= errno == EIO;
    return -1;
  }
  return syscall(SYS_pread64, file, to, below(2) ? n : 1 + below(n), at);
}
