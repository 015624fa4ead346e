// SPDX-License-Identifier: BSD-3-Clause
// Lengths, and their twiddles in double.
#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "kernels/circulant/circulant.h"
#include "runtime/fork_mutex.h"

namespace accel {
namespace {

constexpr std::size_t kMostTables = 64;  // lengths kept ready
constexpr long kPage = 1024;             // floats after which addresses fall into the same cache sets
constexpr long kSkew = 32;               // floats, two cache lines

// What is left of `rows` without its factors 2, 3, 5, 7.
long unfactored(long rows) {
  for (const long prime : {2, 3, 5, 7})
    while (rows % prime == 0) rows /= prime;
  return rows;
}

// Odd factors first, large powers of 2 last: the parts that the last rounds see are then whole groups of rows.
int factor(long rows, int* radix) {
  int rounds = 0;
  for (const int prime : {7, 5, 3})
    while (rows % prime == 0) rows /= prime, radix[rounds++] = prime;
  int twos = 0;
  while (rows > 1) rows /= 2, ++twos;
  if (twos % 3 == 1 && twos > 1) {  // two rounds of 4 instead of one of 2 and one of 8
    radix[rounds++] = 4, radix[rounds++] = 4, twos -= 4;
  } else if (twos % 3 > 0) {
    radix[rounds++] = 1 << twos % 3, twos -= twos % 3;
  }
  for (; twos > 0; twos -= 3) radix[rounds++] = 8;
  if (rounds == 0) radix[rounds++] = 1;
  return rounds;
}

std::pair<float, float> root(long k, long n) {  // exp(-2 pi i k / n), by an angle of at most an eighth of a circle
  k %= n;
  const long eighth = 8 * k / n;
  const auto part = [&](long from) { return 2 * M_PI * static_cast<double>(from) / static_cast<double>(n); };
  double c, s;
  if (eighth == 0 || eighth == 7)
    c = std::cos(part(eighth == 0 ? k : k - n)), s = std::sin(part(eighth == 0 ? k : k - n));
  else if (eighth <= 2)
    c = -std::sin(part(4 * k - n) / 4), s = std::cos(part(4 * k - n) / 4);
  else if (eighth <= 4)
    c = -std::cos(part(2 * k - n) / 2), s = -std::sin(part(2 * k - n) / 2);
  else
    c = std::sin(part(4 * k - 3 * n) / 4), s = -std::cos(part(4 * k - 3 * n) / 4);
  return {static_cast<float>(c), static_cast<float>(-s)};
}

// The bin along the rows that each row holds after the last round.
std::vector<long> row_bins(const CirculantTables& t) {
  std::vector<long> bins(static_cast<std::size_t>(t.rows), 0);
  for (long row = 0; row < t.rows; ++row) {
    long rest = row, place = 1;
    for (int i = 0; i < t.rounds; ++i) {
      bins[static_cast<std::size_t>(row)] += rest / t.length[i + 1] * place;
      rest %= t.length[i + 1], place *= t.radix[i];
    }
  }
  return bins;
}

void fill_round(float* to, long length, int radix) {
  for (long place = 0; place < length / radix; ++place)
    for (int j = 0; j < radix; ++j, to += 2) std::tie(to[0], to[1]) = root(place * j, length);
}

void fill_last(float* to, const CirculantTables& t, long columns) {
  for (const long bin : row_bins(t)) {
    for (long c = 0; c < columns; ++c) std::tie(to[c], to[columns + c]) = root(c * bin, t.n);
    to += 2 * columns;
  }
}

}  // namespace

CirculantTables::CirculantTables(long size, std::size_t isa) : n(size) {
  const CirculantKernels& k = *kCirculant[isa];
  rows = n / k.lanes;
  if (rows < 1 || n % k.lanes || unfactored(rows) != 1) throw std::invalid_argument("circulant: no such length");
  rounds = factor(rows, radix);
  length[0] = rows;
  for (int i = 0; i < rounds; ++i) {
    length[i + 1] = length[i] / radix[i];
    for (int d = 0; d < 3; ++d)
      run[i][d] = k.round(radix[i], i + 1 == rounds, static_cast<CirculantRound::Direction>(d));
  }
  const long inner = length[1] * k.lanes;
  piece = inner + (inner % kPage == 0 ? kSkew : 0);
  const long filled = (rows + k.points - 1) / k.points * k.points * k.lanes;
  plane = std::max(piece * radix[0], filled) + kPage / 4;
  long total = 2 * k.points * k.lanes + k.lanes;
  for (int i = 0; i < rounds; ++i) total += 2 * (i + 1 < rounds ? length[i] : n);
  memory = LineFloats(total);
  float* to = memory.data();
  for (int i = 0; i < rounds; ++i) {
    twiddles[i] = to;
    if (i + 1 < rounds)
      fill_round(to, length[i], radix[i]), to += 2 * length[i];
    else
      fill_last(to, *this, k.lanes), to += 2 * n;
  }
  turns = to;
  for (long j = 0; j < k.points; ++j, to += 2 * k.lanes)
    for (long c = 0; c < k.lanes; ++c) std::tie(to[c], to[k.lanes + c]) = root(c % 2 * j, k.lanes);
  for (long c = 0; c < k.lanes; ++c) to[c] = c % 2 ? -1.f : 1.f;
}

long CirculantTables::spectrum_floats(std::size_t isa) const noexcept {
  const CirculantKernels& k = *kCirculant[isa];
  return (rows + k.points - 1) / k.points * k.points * k.lanes * 2;
}

// Times 2, for the stage that is not taken.
LineFloats CirculantTables::leaf_spectrum(const float* re, const float* im, std::size_t isa) const {
  const CirculantKernels& k = *kCirculant[isa];
  LineFloats work(2 * plane), leaves(spectrum_floats(isa)), spectrum(2 * spectrum_floats(isa));
  k.leaves(*this, {re, im, false}, leaves.data(), work.data());
  const float* from = leaves.data();
  float* to = spectrum.data();
  for (long chunk = 0; chunk < spectrum_floats(isa) / (2 * k.lanes); ++chunk, from += 2 * k.lanes, to += 4 * k.lanes) {
    const auto [c, s] = root(chunk % k.points, k.points);
    for (long lane = 0; lane < k.lanes; lane += 2) {
      const float r = 2 * from[lane + 1], i = 2 * from[k.lanes + lane + 1];
      to[lane] = to[lane + 1] = 2 * from[lane];
      to[k.lanes + lane] = to[k.lanes + lane + 1] = 2 * from[k.lanes + lane];
      to[2 * k.lanes + lane] = r * c - i * s, to[2 * k.lanes + lane + 1] = r;
      to[3 * k.lanes + lane] = r * s + i * c, to[3 * k.lanes + lane + 1] = i;
    }
  }
  return spectrum;
}

long circulant_length(long least, std::size_t isa) noexcept {
  const long columns = kCirculant[isa]->lanes;
  long rows = std::max((least + columns - 1) / columns, 1l);
  while (unfactored(rows) != 1) ++rows;
  return rows * columns;
}

namespace {

// Tables by their length and instruction set, shared by all threads.
struct Ready {
  ForkMutex mutex;
  std::map<std::pair<long, std::size_t>, std::shared_ptr<const CirculantTables>> tables;
};

Ready& ready() {
  static auto* const instance = new Ready;  // never destroyed: a thread may still look when the process ends
  return *instance;
}

}  // namespace

std::shared_ptr<const CirculantTables> circulant_tables(long n, std::size_t isa) {
  auto& [mutex, tables] = ready();
  {
    const std::scoped_lock lock(mutex);
    if (const auto found = tables.find({n, isa}); found != tables.end()) return found->second;
  }
  auto made = std::make_shared<const CirculantTables>(n, isa);  // takes long: others need not wait for it
  const std::scoped_lock lock(mutex);
  if (tables.size() >= kMostTables) tables.clear();
  return tables.try_emplace({n, isa}, std::move(made)).first->second;
}

}  // namespace accel
