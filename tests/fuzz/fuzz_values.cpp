// SPDX-License-Identifier: BSD-3-Clause
// Blocks of the float codec, whole and damaged, positions by gaps and by bitmaps, sparse arrays from streams of them,
// in every instruction set, and heads of streams: each must do what a few lines of scalar code do, and the sanitizers
// must stay silent. Half of the streams are read from a file, by calls that are interrupted, give less than was asked
// for, or fail. Built and run by fuzz_values.py:
//   fuzz_values MUTANTS SEED
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "coded_streams.h"
#include "guarded.h"
#include "huffman_oracle.h"
#include "kernels/floats/floats.h"
#include "kernels/gaps/coded.h"
#include "kernels/huffman/crc32.h"
#include "kernels/huffman/frame.h"
#include "kernels/huffman/huffman.h"
#include "kernels/huffman/tree_summed.h"
#include "mutants.h"

namespace {

using namespace accel;
using mutants::any_byte, mutants::below, mutants::generator, mutants::mutate_once;
using oracle::Bytes;
using std::size_t;
using std::uint8_t;

constexpr size_t kMostBytes = 400'000;
Guarded input(kMostBytes), places(kMostBytes), output(kMostBytes),
    scratch(std::max(float_decode_scratch(kFloatMostPlanes), kCodedScratch)), window(kWindow), value_window(kWindow);

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
  const HuffmanDecodeTask task{{copy_to(input, block), block.size()}, &end, out, width * n};
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

struct Expanded {
  Bytes dense;
  std::int64_t wrong = -1;  // the first entry that does not fit
};

Expanded expanded_gaps(const Bytes& gaps, size_t most, const Bytes& values, size_t width, size_t size) {
  Expanded to{Bytes(width * size)};
  for (size_t k = 0, at = 0; k < gaps.size(); ++k, ++at) {
    at += gaps[k];
    if (gaps[k] > most || at >= size) {
      to.wrong = static_cast<std::int64_t>(k);
      return to;
    }
    std::memcpy(&to.dense[width * at], &values[width * k], width);
  }
  return to;
}

// Empty where the bitmap does not want as many values.
std::optional<Bytes> expanded_bitmap(const Bytes& bitmap, const Bytes& values, size_t width, size_t size) {
  Bytes dense(width * size);
  size_t k = 0;
  for (size_t i = 0; i < size; ++i) {
    if (!(bitmap[i / 8] >> i % 8 & 1)) continue;
    if (width * ++k > values.size()) return std::nullopt;
    std::memcpy(&dense[width * i], &values[width * (k - 1)], width);
  }
  if (width * k != values.size() || (size % 8 && bitmap.back() >> size % 8)) return std::nullopt;
  return dense;
}

struct GapsCase {
  size_t width = size_t{1} << below(4), most = below(2) ? 15 : 255, isa = any_isa(), size = 0;
  Bytes gaps, values;
  explicit GapsCase(size_t entries) : gaps(sparse_bytes(entries)), values(any_bytes(width * entries)) {
    if (below(4))
      for (auto& gap : gaps) gap = static_cast<uint8_t>(std::min<size_t>(gap, most));
    size_t reach = 0;
    for (const uint8_t gap : gaps) reach += gap + size_t{1};
    size = below(3) ? reach + below(40) : below(reach + 1);
  }
};

void check_gaps() {
  const GapsCase c(below(300));
  const Expanded answer = expanded_gaps(c.gaps, c.most, c.values, c.width, c.size);
  uint8_t* const out = output.last(c.width * c.size);
  const bool clear = below(2);
  std::memset(out, clear ? 0xAB : 0, c.width * c.size);
  const uint8_t *const gaps = copy_to(input, c.gaps), *const values = copy_to(places, c.values);
  const size_t first = below(2) ? below(c.gaps.size() + 1) : 0;  // in two pieces
  GapsOutput to{out, c.width, c.size, clear ? 0 : c.size};
  std::int64_t found = kGapsExpand[c.isa](gaps, first, static_cast<uint8_t>(c.most), values, to);
  if (found < 0) {
    found = kGapsExpand[c.isa](gaps + first, c.gaps.size() - first, static_cast<uint8_t>(c.most),
                               values + c.width * first, to);
    if (found >= 0) found += static_cast<std::int64_t>(first);
  }
  gaps_clear_rest(to);
  if (!output.front_is_whole(out)) report("gaps: a write before the output", c.gaps, c.width, c.size, c.isa);
  if (found != answer.wrong) report("gaps: another entry is wrong", c.gaps, c.width, c.size, c.isa);
  if (found < 0 && !std::equal(answer.dense.begin(), answer.dense.end(), out))
    report("gaps: wrong values", c.gaps, c.width, c.size, c.isa);
}

struct BitmapCase {
  size_t width = size_t{1} << below(4), size, isa = any_isa(), set = 0;
  Bytes bitmap, values;
  explicit BitmapCase(size_t n) : size(n), bitmap(any_bytes((n + 7) / 8)) {
    for (auto& b : bitmap) b = static_cast<uint8_t>(below(3) ? b : b * (below(2) ? 255 : 0));
    if (size % 8) bitmap.back() = static_cast<uint8_t>(bitmap.back() & ((1u << size % 8) - 1));
    for (size_t i = 0; i < size; ++i) set += bitmap[i / 8] >> i % 8 & 1;
    values = any_bytes(width * (below(8) ? set : below(set + 40)));  // not as many as bits: nothing outside
  }
};

void check_bitmap() {
  const BitmapCase c(below(700));
  const uint8_t* const given = copy_to(input, c.bitmap);
  if (kBitmapCount[c.isa](given, c.bitmap.size()) != c.set)
    report("bitmap: wrong count", c.bitmap, c.width, c.size, c.isa);
  uint8_t* const out = output.last(c.width * c.size);
  const size_t count = c.values.size() / c.width;
  const BitmapProgress done = kBitmapExpand[c.isa](given, c.size, copy_to(places, c.values), count, c.width, out);
  if (!output.front_is_whole(out)) report("bitmap: a write before the output", c.bitmap, c.width, c.size, c.isa);
  if (done.values > count || done.places > c.size ||
      (count >= c.set && (done.places != c.size || done.values != c.set)))
    report("bitmap: wrong progress", c.bitmap, c.width, c.size, c.isa);
  if (count != c.set) return;
  const auto answer = expanded_bitmap(c.bitmap, c.values, c.width, c.size);
  if (!answer || !std::equal(answer->begin(), answer->end(), out))
    report("bitmap: wrong values", c.bitmap, c.width, c.size, c.isa);
}

// ---- sparse arrays from their streams -------------------------------------------------------------------------------

void check_result(const CodedResult& result, const std::optional<Bytes>& answer, const uint8_t* out, const Bytes& bytes,
                  size_t width, size_t isa) {
  if (!output.front_is_whole(out)) report("coded: a write before the output", bytes, width, 0, isa);
  const bool accepted = result.where == CodedResult::Where::nowhere;
  if (std::exchange(reading_failed, false)) {
    if (accepted) report("coded: accepted without all bytes", bytes, width, 0, isa);
    return;
  }
  if (accepted != answer.has_value()) report(accepted ? "coded: accepted" : "coded: refused", bytes, width, 0, isa);
  if (!accepted) return;
  if (!std::equal(answer->begin(), answer->end(), out)) report("coded: wrong values", bytes, width, 0, isa);
  if (result.crc != crc32(0, answer->data(), answer->size(), false)) report("coded: wrong sum", bytes, width, 0, isa);
  if (std::any_of(answer->begin(), answer->end(), [&](uint8_t b) { return b > result.most; }))
    report("coded: wrong bound", bytes, width, 0, isa);
}

void check_summed() {
  const Bytes bytes = sparse_bytes(1 + (below(50) ? below(300) : below(3 * kTreePart)));
  const size_t isa = any_isa();
  Coded coded(bytes, isa);
  if (!coded.trees) return;
  uint8_t* const out = output.last(bytes.size());
  const CodedBytes from = coded.at(input, window, bytes.size());
  TreeSum block, all;
  const HuffmanFailure failure =
      tree_decode_summed({from.payload, from.ends, out, from.n}, isa, 1, scratch.last(kTreeScratch), &block, all);
  CodedResult result;
  if (failure.status != HuffmanStatus::ok) result.where = CodedResult::Where::in_values;
  result.crc = all.crc, result.most = all.most;
  check_result(result, coded.symbols, out, bytes, 1, isa);
}

size_t any_entries() { return below(50) ? below(300) : below(3 * kTreePart); }

void check_coded_gaps() {
  const GapsCase c(any_entries());
  if (c.width * std::max(c.size, c.gaps.size()) > kMostBytes * 9 / 10) return;  // a block is hardly longer
  Coded gaps(c.gaps, c.isa), values(c.values, c.isa);
  std::optional<Bytes> answer;
  if (gaps.symbols && values.symbols) {
    Expanded to = expanded_gaps(*gaps.symbols, c.most, *values.symbols, c.width, c.size);
    if (to.wrong < 0) answer = std::move(to.dense);
  }
  uint8_t* const out = output.last(c.width * c.size);
  std::memset(out, 0, c.width * c.size);
  GapsOutput to{out, c.width, c.size, c.size};
  const CodedBytes from = gaps.at(input, window, c.gaps.size()),
                   elements = values.at(places, value_window, c.values.size());
  const CodedResult result =
      gaps_decode(from, elements, static_cast<uint8_t>(c.most), to, c.isa, scratch.last(kCodedScratch));
  check_result(result, answer, out, c.gaps, c.width, c.isa);
}

void check_coded_bitmap() {
  const BitmapCase c(below(50) ? below(700) : below(kMostBytes / 8));
  Coded bitmap(c.bitmap, c.isa), values(c.values, c.isa);
  std::optional<Bytes> answer;
  if (bitmap.symbols && values.symbols) answer = expanded_bitmap(*bitmap.symbols, *values.symbols, c.width, c.size);
  uint8_t* const out = output.last(c.width * c.size);
  const CodedBytes from = bitmap.at(input, window, c.bitmap.size()),
                   elements = values.at(places, value_window, c.values.size());
  const CodedResult result = bitmap_decode(from, elements, c.width, out, c.size, c.isa, scratch.last(kCodedScratch));
  check_result(result, answer, out, c.bitmap, c.width, c.isa);
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

// ---- heads of streams -----------------------------------------------------------------------------------------------

void append_number(Bytes& bytes, size_t number) {
  for (; number >= 128; number >>= 7) bytes.push_back(static_cast<uint8_t>(number % 128 | 128));
  bytes.push_back(static_cast<uint8_t>(number));
}

// A stream of raw blocks, and sometimes damaged. The checksum is right, so that everything behind it is reached.
void check_frame() {
  const size_t n = 1 + below(below(50) ? 3'000 : kMostBytes - 100);
  std::vector<size_t> ends;
  Bytes head = {0xAC, 1, 0}, none;
  append_number(head, n);
  for (size_t k = 0; k < huffman_block_count(n); ++k) {
    const size_t size = huffman_block_symbols(n, k) + 5;
    append_number(head, size);
    ends.push_back(size + (ends.empty() ? 0 : ends.back()));
  }
  const bool whole = below(2);
  if (!whole) mutate_once(head, none);
  const std::uint32_t sum = crc32(0, head.data(), head.size(), false);
  for (size_t k = 0; k < 4; ++k) head.push_back(static_cast<uint8_t>(sum >> 8 * k));
  Bytes stream = head;
  stream.resize(head.size() + ends.back() - (whole ? 0 : below(2)));  // kinds of zero: raw
  const size_t room = whole || below(4) ? n : 1 + below(2 * n);
  const auto frame = huffman_frame(copy_to(input, stream), stream.size(), room);
  if (whole && (!frame || frame->head != head.size() || !std::equal(ends.begin(), ends.end(), frame->ends.begin())))
    report("frame: wrongly refused", head, 1, n, 0);
  if (!frame) return;
  std::int64_t end = 0;
  for (const std::int64_t next : frame->ends)
    if (next <= std::exchange(end, next)) report("frame: blocks without bytes", head, 1, room, 0);
  if (frame->head + static_cast<size_t>(end) != stream.size() || frame->ends.size() != huffman_block_count(room))
    report("frame: other blocks than bytes", head, 1, room, 0);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const long mutants = std::atol(argv[1]);
  generator.seed(static_cast<std::uint64_t>(std::atol(argv[2])));
  const long accepted = decode_mutants(mutants);
  for (long run = 0; run < mutants; ++run) check_gaps(), check_bitmap(), check_rows();
  for (long run = 0; run < mutants; ++run) check_coded_gaps(), check_coded_bitmap(), check_summed(), check_frame();
  std::printf(
      "{\"mutants\": %ld, \"accepted\": %ld, \"gaps\": %ld, \"bitmaps\": %ld, \"code_matrices\": %ld, \"coded\": "
      "%ld, \"heads\": %ld}\n",
      mutants, accepted, mutants, mutants, mutants, 3 * mutants, mutants);
}
