/* SPDX-License-Identifier: MIT
 *
 * context.cpp - P1 for Boost: the bare switch of boost.context, as boost.fiber itself uses it.
 */
#include "peer.hpp"

#include <boost/context/detail/fcontext.hpp>
#include <memory>

namespace context = boost::context::detail;

static void pong(context::transfer_t t)
{
	for (;;)
		t = context::jump_fcontext(t.fctx, nullptr);
}

static void raw_switch()
{
	const size_t size = 64 * 1024;
	std::unique_ptr<char[]> stack(new char[size]);
	context::fcontext_t f = context::make_fcontext(stack.get() + size, size, pong);

	measure("P1", "one direction", [&](uint64_t n) {
		int64_t start = now();

		for (uint64_t i = 0; i < n; i += 2)
			f = context::jump_fcontext(f, nullptr).fctx;
		return now() - start;
	});
}

int main(int argc, char **argv)
{
	for (int i = peer_args(argc, argv); i < argc; i++)
		peer_run({{"P1", raw_switch}}, argv[i]);
	return 0;
}
