// SPDX-License-Identifier: BSD-3-Clause
// Blocks of the float codec, whole and damaged, and positions by gaps and by bitmaps, in every instruction set: each
// must do what a few lines of scalar code do, and the sanitizers must stay silent. Built and run by fuzz_values.py:
//   fuzz_values MUTANTS SEED
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "guarded.h"
#include "huffman_oracle.h"
#include "kernels/floats/floats.h"
#include "kernels/gaps/gaps.h"
#include "mutants.h"

namespace {

using namespace accel;
using mutants::any_byte, mutants::below, mutants::generator, mutants::mutate_once;
using oracle::Bytes;
using std::size_t;
using std::uint8_t;

constexpr size_t kMostBytes = 400'000;
Guarded input(kMostBytes), places(kMostBytes), output(kMostBytes), scratch(float_decode_scratch(kFloatMostPlanes));

[[noreturn]] void report(const char* what, const Bytes& bytes, size_t width, size_t n, size_t isa) {
  std::printf("finding: %s; %zu elements of %zu bytes, instruction set %s\n", what, n, width,
              isa_name(static_cast<Isa>(isa)));
  for (size_t k = 0; k < std::min<size_t>(bytes.size(), 4096); ++k) std::printf("%02x", bytes[k]);
  std::printf("\n");
  std::exit(1);
}

size_t any_isa() {
  size_t isa = below(kIsaCount);
  while (!isa_supported(static_cast<Isa>(isa))) isa = below(kIsaCount);
  return isa;
}

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

// ---- floats ---------------------------------------------------------------------------------------------------------

struct Case {
  size_t width, n;
  Bytes numbers, block;
};

// Numbers whose upper bytes are few, as weights' are; all of them, or one number.
Case make_case(size_t width, size_t n, size_t kind) {
  Case made{width, n, any_bytes(width * n), {}};
  for (size_t i = 0; i < n; ++i) {
    uint8_t* const number = &made.numbers[width * i];
    if (kind == 0) number[width - 1] = static_cast<uint8_t>(0x3c + below(2) + (below(2) << 7)), number[0] = 0;
    if (kind == 1) std::memcpy(number, made.numbers.data(), width);
  }
  for (size_t isa = 0; isa < kIsaCount; ++isa) {
    if (!isa_supported(static_cast<Isa>(isa))) continue;
    Bytes out(float_bound(width, n)), work(float_encode_scratch(width, n));
    std::int64_t size = 0;
    out.resize(float_encode(copy_to(input, made.numbers), width, n, isa, out.data(), &size, work.data()));
    if (!made.block.empty() && made.block != out) report("encoders differ", out, width, n, isa);
    made.block = out;
  }
  return made;
}

// The planes of a block, each a block of trees; Refused where one is not.
std::vector<Bytes> planes_of(const Bytes& block, size_t width) {
  oracle::Reader in{block.data(), block.data() + block.size()};
  std::vector<size_t> sizes(width - 1);
  for (auto& size : sizes) size = in.number(4);
  std::vector<Bytes> planes;
  for (size_t p = 0; p < width; ++p) {
    const oracle::Reader plane = in.take(p + 1 < width ? sizes[p] : in.left());
    planes.emplace_back(plane.at, plane.end);
  }
  return planes;
}

std::optional<Bytes> expected(const Bytes& block, size_t width, size_t n) {
  try {
    Bytes numbers(width * n);
    std::vector<Bytes> planes;
    for (const Bytes& plane : planes_of(block, width)) planes.push_back(oracle::decode(plane, n, true, true));
    for (size_t i = 0; i < n; ++i) {
      std::uint64_t bits = 0;
      for (size_t p = 0; p < width; ++p) bits |= std::uint64_t{planes[p][i]} << 8 * p;
      bits = bits >> 1 | (bits & 1) << (8 * width - 1);
      for (size_t p = 0; p < width; ++p) numbers[width * i + p] = static_cast<uint8_t>(bits >> 8 * p);
    }
    return numbers;
  } catch (const oracle::Refused&) {
    return std::nullopt;
  }
}

void check_block(const Bytes& block, size_t width, size_t n, size_t isa, const std::optional<Bytes>& answer) {
  uint8_t* const out = output.last(width * n);
  const auto end = static_cast<std::int64_t>(block.size());
  const HuffmanDecodeTask task{copy_to(input, block), block.size(), &end, out, width * n};
  const HuffmanStatus status = float_decode(task, width, isa, 1, scratch.last(float_decode_scratch(width))).status;
  if (!output.front_is_whole(out)) report("a write before the output", block, width, n, isa);
  const bool accepted = status == HuffmanStatus::ok;
  if (accepted != answer.has_value()) report(accepted ? "wrongly accepted" : "wrongly refused", block, width, n, isa);
  if (accepted && !std::equal(answer->begin(), answer->end(), out)) report("wrong numbers", block, width, n, isa);
}

// Splitting and merging alone, by streaming stores too, which whole streams get from 4 MiB on.
void check_planes(const Case& of, size_t isa, bool streaming) {
  const size_t n = of.n - below(std::min<size_t>(of.n, 200));  // with that, where the output begins
  const size_t shift = below(8);
  uint8_t* planes[kFloatMostPlanes];
  uint8_t* const first = places.last(of.width * n);
  for (size_t p = 0; p < of.width; ++p) planes[p] = first + p * n;
  kFloatSplit[isa](copy_to(input, {of.numbers.begin(), of.numbers.begin() + static_cast<long>(of.width * n)}), of.width,
                   n, planes);
  uint8_t* const out = output.last(of.width * n + shift);
  kFloatMerge[isa](planes, of.width, n, out, streaming);
  if (!output.front_is_whole(out) || std::memcmp(out, of.numbers.data(), of.width * n))
    report("planes", of.numbers, of.width, n, isa);
}

// One plane damaged with the others whole and sizes that fit, or anything anywhere.
Bytes damaged(const Case& of, const Case& other) {
  Bytes block = of.block;
  if (below(2)) {
    for (size_t k = 1 + below(3); k; --k) mutate_once(block, other.block);
    return block;
  }
  std::vector<Bytes> planes = planes_of(of.block, of.width);
  Bytes& hit = planes[below(of.width)];
  const std::vector<Bytes> others = planes_of(other.block, other.width);
  below(4) ? mutate_once(hit, others[below(other.width)]) : void(hit = others[below(other.width)]);
  block.clear();
  for (size_t p = 0; p + 1 < of.width; ++p)
    for (size_t k = 0; k < 4; ++k) block.push_back(static_cast<uint8_t>(planes[p].size() >> 8 * k));
  for (const Bytes& plane : planes) block.insert(block.end(), plane.begin(), plane.end());
  return block;
}

// How many are accepted.
long decode_mutants(long mutants) {
  std::vector<Case> cases;
  for (const size_t width : {2, 4})
    for (const size_t kind : {0, 1, 2})
      for (const size_t n : {1, 63, 130, 700, 5'000}) cases.push_back(make_case(width, n, kind));
  for (const Case& whole : cases)
    for (size_t isa = 0; isa < kIsaCount; ++isa)
      if (isa_supported(static_cast<Isa>(isa))) check_block(whole.block, whole.width, whole.n, isa, whole.numbers);
  long accepted = 0;
  for (long run = 0; run < mutants; ++run) {
    const Case &of = cases[below(cases.size())], &other = cases[below(cases.size())];
    const Bytes block = damaged(of, other);
    const size_t n = below(8) ? of.n : 1 + below(2 * of.n);
    const auto answer = expected(block, of.width, n);
    check_block(block, of.width, n, any_isa(), answer);
    check_planes(of, any_isa(), below(2));
    accepted += answer.has_value();
  }
  return accepted;
}

// ---- gaps and bitmaps -----------------------------------------------------------------------------------------------

Bytes sparse_bytes(size_t n) {  // mostly small: several entries fit; some large
  Bytes bytes = any_bytes(n);
  const size_t most = 1 + below(256);
  for (auto& b : bytes) b = below(20) ? static_cast<uint8_t>(b % most) : b;
  return bytes;
}

void check_gaps() {
  const size_t width = size_t{1} << below(4), entries = below(300), most = below(2) ? 15 : 255, isa = any_isa();
  Bytes gaps = sparse_bytes(entries);
  if (below(4))
    for (auto& gap : gaps) gap = static_cast<uint8_t>(std::min<size_t>(gap, most));
  size_t reach = 0;
  for (const uint8_t gap : gaps) reach += gap + size_t{1};
  const size_t size = below(3) ? reach + below(40) : below(reach + 1);
  const Bytes values = any_bytes(width * entries);
  Bytes dense(width * size);
  std::int64_t wrong = -1;
  for (size_t k = 0, at = 0; k < entries && wrong < 0; ++k, ++at) {
    at += gaps[k];
    if (gaps[k] > most || at >= size)
      wrong = static_cast<std::int64_t>(k);
    else
      std::memcpy(&dense[width * at], &values[width * k], width);
  }
  uint8_t* const out = output.last(width * size);
  const bool clear = below(2);
  std::memset(out, clear ? 0xAB : 0, width * size);
  const std::int64_t found = kGapsExpand[isa](copy_to(input, gaps), entries, static_cast<uint8_t>(most),
                                              copy_to(places, values), width, out, size, clear);
  if (!output.front_is_whole(out)) report("gaps: a write before the output", gaps, width, size, isa);
  if (found != wrong) report("gaps: another entry is wrong", gaps, width, size, isa);
  if (wrong < 0 && !std::equal(dense.begin(), dense.end(), out)) report("gaps: wrong values", gaps, width, size, isa);
}

void check_bitmap() {
  const size_t width = size_t{1} << below(4), size = below(700), bytes = (size + 7) / 8, isa = any_isa();
  Bytes bitmap = any_bytes(bytes);
  for (auto& b : bitmap) b = static_cast<uint8_t>(below(3) ? b : b * (below(2) ? 255 : 0));
  if (size % 8) bitmap.back() = static_cast<uint8_t>(bitmap.back() & ((1u << size % 8) - 1));
  size_t set = 0;
  for (size_t i = 0; i < size; ++i) set += bitmap[i / 8] >> i % 8 & 1;
  const uint8_t* const given = copy_to(input, bitmap);
  if (bitmap_count(given, bytes) != set) report("bitmap: wrong count", bitmap, width, size, isa);
  const size_t count = below(8) ? set : below(set + 40);  // not as many as bits: garbage, but nothing outside
  const Bytes values = any_bytes(width * count);
  uint8_t* const out = output.last(width * size);
  kBitmapExpand[isa](given, copy_to(places, values), count, width, out, size);
  if (!output.front_is_whole(out)) report("bitmap: a write before the output", bitmap, width, size, isa);
  for (size_t i = 0, k = 0; i < size && count == set; ++i) {
    const bool live = bitmap[i / 8] >> i % 8 & 1;
    const Bytes zero(width);
    if (std::memcmp(out + width * i, live ? &values[width * k] : zero.data(), width))
      report("bitmap: wrong values", bitmap, width, size, isa);
    k += live;
  }
}

void check_rows() {
  const size_t rows = below(9), columns = below(200), isa = 0;
  const auto zero = static_cast<uint8_t>(below(4));
  Bytes codes = any_bytes(rows * columns);
  for (auto& code : codes) code %= 4;
  const auto live = codes.size() - static_cast<size_t>(std::count(codes.begin(), codes.end(), zero));
  const size_t count = below(8) ? live : below(live + 1);  // fewer than there are: the first of them
  std::vector<std::int32_t> indptr(rows + 1, -1), indices(count);
  uint8_t* const values = output.last(count);
  rows_of_codes(copy_to(input, codes), rows, columns, zero, indptr.data(), indices.data(), values, count);
  size_t at = 0;
  for (size_t row = 0; row < rows; ++row) {
    for (size_t column = 0; column < columns && at < count; ++column) {
      const uint8_t code = codes[row * columns + column];
      if (code == zero) continue;
      if (indices[at] != static_cast<std::int32_t>(column) || values[at] != code)
        report("rows of codes: wrong entry", codes, 1, codes.size(), isa);
      ++at;
    }
    if (indptr[row + 1] != static_cast<std::int32_t>(at)) report("rows of codes: wrong end", codes, 1, row, isa);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const long mutants = std::atol(argv[1]);
  generator.seed(static_cast<std::uint64_t>(std::atol(argv[2])));
  const long accepted = decode_mutants(mutants);
  for (long run = 0; run < mutants; ++run) check_gaps(), check_bitmap(), check_rows();
  std::printf("{\"mutants\": %ld, \"accepted\": %ld, \"gaps\": %ld, \"bitmaps\": %ld, \"code_matrices\": %ld}\n",
              mutants, accepted, mutants, mutants, mutants);
}
