// SPDX-License-Identifier: BSD-2-Clause
// The harness in a bare loop: what Verilator can do when nobody looks at the results.
// Usage: bare WORDS, a file of words for the channel `sample`, each without its turn.
// Prints clocks, then seconds.

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "Vtop.h"
#include "registers.h"
#include "verilated.h"

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    std::ifstream file(argv[1], std::ios::binary);
    const std::vector<char> words((std::istreambuf_iterator<char>(file)), {});
    const size_t packets = words.size() / WORD_BYTES;

    VerilatedContext context;
    Vtop top(&context);
    set_registers(top);

    size_t sent = 0;
    bool turn = false;
    const auto send = [&] {
        turn = !turn;
        char* const port = reinterpret_cast<char*>(&top.sample);
        std::memcpy(port, words.data() + sent * WORD_BYTES, WORD_BYTES);
        port[WORD_BYTES] = turn;
        ++sent;
    };

    const auto begin = std::chrono::steady_clock::now();
    long clocks = 0;
    send();
    while (sent < packets || (top.events & 1) != turn) {
        if ((top.events & 1) == turn) send();
        top.clk = 1;
        top.eval();
        top.clk = 0;
        top.eval();
        ++clocks;
    }
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    std::printf("%ld %.6f\n", clocks, time.count());
}
