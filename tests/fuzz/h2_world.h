/*
 * What the two fuzzers of whole HTTP/2 connections share above the wires and their frames: begin, turn, end.
 */
#ifndef TESTS_FUZZ_H2_WORLD_H
#define TESTS_FUZZ_H2_WORLD_H

#include "exchange_world.h"
#include "h2_script.h"

static struct h2_peer peers[SIM_SOCKS];

static void turn(void)
{
    world_turn(true);
    for (unsigned i = 0; i < sim_count; i++)
        hear(&peers[i], &sim_socks[i]);
}

static struct sim_sock *open_client(void)
{
    struct sim_sock *s = world_client();
    if (s)
        world_accept(s, &listeners[0], SLICE("127.0.0.1"));
    return s;
}

static void begin(void)
{
    for (unsigned i = 0; i < SIM_SOCKS; i++)
        peer_end(&peers[i]);
    world_begin();
}

static void end(void)
{
    world_wait(1000);
    world_check_free();
    world_end();
}

#endif
