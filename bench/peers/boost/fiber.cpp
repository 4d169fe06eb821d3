/* SPDX-License-Identifier: MIT
 *
 * fiber.cpp - the rows of bench/ that boost.fiber has an answer to: fibers, channels and mutex.
 *
 * One worker: the default round-robin scheduler. Two: one more thread, both with work_stealing, as its manual shows.
 */
#include "peer.hpp"

#include <boost/fiber/all.hpp>
#include <memory>
#include <mutex>
#include <thread>

namespace fibers = boost::fibers;

/* A wait group of fibers. */
class waitgroup
{
	fibers::mutex m;
	fibers::condition_variable cv;
	int64_t left;

      public:
	explicit waitgroup(int64_t n) : left(n)
	{
	}
	void done()
	{
		std::unique_lock<fibers::mutex> lk(m);

		if (--left == 0)
			cv.notify_all();
	}
	void wait()
	{
		std::unique_lock<fibers::mutex> lk(m);

		cv.wait(lk, [this] { return left == 0; });
	}
};

static std::function<int64_t(uint64_t)> yield_among(int tasks)
{
	return [tasks](uint64_t n) {
		uint64_t each = n / tasks + 1;
		std::vector<fibers::fiber> f;
		int64_t start;

		for (int i = 0; i < tasks; i++)
			f.emplace_back([each] {
				for (uint64_t k = 0; k < each; k++)
					boost::this_fiber::yield();
			});
		start = now();
		for (auto &x : f)
			x.join();
		return (int64_t)((double)(now() - start) * (double)n / (double)(each * tasks));
	};
}

static void yield()
{
	if (workers == 1) {
		measure("P2", "yield, 2 tasks", yield_among(2));
		measure("P2", "yield, 1000 tasks", yield_among(1000));
	} else {
		measure("P3", "yield, 1000 tasks", yield_among(1000));
	}
}

static void nothing()
{
}

/* Boost's pool is one thread's; with two the other one may end what this one has started. */
class shared_pool
{
	struct stacks {
		std::mutex lock;
		std::vector<boost::context::stack_context> spare;

		~stacks()
		{
			for (auto &s : spare)
				fibers::default_stack().deallocate(s);
		}
	};
	std::shared_ptr<stacks> all = std::make_shared<stacks>();

      public:
	boost::context::stack_context allocate()
	{
		std::lock_guard<std::mutex> guard(all->lock);

		if (all->spare.empty())
			return fibers::default_stack().allocate();
		auto s = all->spare.back();
		all->spare.pop_back();
		return s;
	}

	void deallocate(boost::context::stack_context &s)
	{
		std::lock_guard<std::mutex> guard(all->lock);

		all->spare.push_back(s);
	}
};

/* Pooled stacks are the faster choice: default ones are mapped anew each time. */
template <typename Work> static int64_t on_stacks(Work work)
{
	if (workers > 1)
		return work(shared_pool());
	return work(fibers::pooled_fixedsize_stack());
}

static std::function<int64_t(uint64_t)> windows(fibers::launch how)
{
	return [how](uint64_t n) {
		return on_stacks([how, n](auto stacks) {
			uint64_t rounds = n / 100 + 1;
			int64_t start = now();

			for (uint64_t i = 0; i < rounds; i++) {
				fibers::fiber f[100];

				for (auto &x : f)
					x = fibers::fiber(how, std::allocator_arg, stacks, nothing);
				for (auto &x : f)
					x.join();
			}
			return (int64_t)((double)(now() - start) * (double)n / (double)(rounds * 100));
		});
	};
}

static void spawn()
{
	measure("P4", "windows of 100, queued", windows(fibers::launch::post));
	measure("P4", "windows of 100, run at once", windows(fibers::launch::dispatch));
}

/* Started and joined together is all they can be: there is nobody who cancels the others. */
static void groups()
{
	measure("P34", "100 children", windows(fibers::launch::post));
}

static void join()
{
	measure("P5", "spawn and join", [](uint64_t n) {
		return on_stacks([n](auto stacks) {
			int64_t start = now();

			for (uint64_t i = 0; i < n; i++)
				fibers::fiber(std::allocator_arg, stacks, nothing).join();
			return now() - start;
		});
	});
}

static void rendezvous()
{
	measure("P6", "round trip", [](uint64_t n) {
		fibers::unbuffered_channel<int64_t> there, back;
		fibers::fiber echo([&] {
			int64_t v;

			while (there.pop(v) == fibers::channel_op_status::success)
				back.push(v);
		});
		int64_t v, start = now(), took;

		for (uint64_t i = 0; i < n; i++) {
			there.push((int64_t)i);
			back.pop(v);
		}
		took = now() - start;
		there.close();
		echo.join();
		return took;
	});
}

static std::function<int64_t(uint64_t)> many_to_many(int senders, int receivers)
{
	return [=](uint64_t n) {
		uint64_t each = n / senders + 1;
		fibers::buffered_channel<int64_t> c(128);
		std::vector<fibers::fiber> s, r;
		int64_t start = now();

		for (int i = 0; i < receivers; i++)
			r.emplace_back([&c] {
				int64_t v;

				while (c.pop(v) == fibers::channel_op_status::success)
					;
			});
		for (int i = 0; i < senders; i++)
			s.emplace_back([&c, each] {
				for (uint64_t k = 0; k < each; k++)
					c.push((int64_t)k);
			});
		for (auto &x : s)
			x.join();
		c.close();
		for (auto &x : r)
			x.join();
		return (int64_t)((double)(now() - start) * (double)n / (double)(each * senders));
	};
}

static void buffered()
{
	measure("P7", "capacity 128, 1x1", many_to_many(1, 1));
}

static void buffered100()
{
	measure("P8", "capacity 128, 100x100", many_to_many(100, 100));
}

static void mutexes()
{
	measure("P10", "lock and unlock, alone", [](uint64_t n) {
		fibers::mutex m;
		int64_t start = now();

		for (uint64_t i = 0; i < n; i++) {
			m.lock();
			m.unlock();
		}
		return now() - start;
	});
	measure("P10", "200 tasks contending", [](uint64_t n) {
		const int tasks = 200;
		uint64_t each = n / tasks + 1, counter = 0;
		fibers::mutex m;
		std::vector<fibers::fiber> f;
		int64_t start = now();

		for (int i = 0; i < tasks; i++)
			f.emplace_back([&] {
				for (uint64_t k = 0; k < each; k++) {
					m.lock();
					counter++;
					m.unlock();
				}
			});
		for (auto &x : f)
			x.join();
		if (counter != each * tasks)
			abort();
		return (int64_t)((double)(now() - start) * (double)n / (double)(each * tasks));
	});
}

static void conditions()
{
	measure("P30", "condition, round trip", [](uint64_t n) {
		fibers::mutex m;
		fibers::condition_variable ball[2];
		int at = 0;
		auto plays = [&](int side) {
			std::unique_lock<fibers::mutex> lk(m);

			for (uint64_t i = 0; i < n; i++) {
				ball[side].wait(lk, [&] { return at == side; });
				at = !side;
				ball[!side].notify_one();
			}
		};
		int64_t start = now();
		fibers::fiber a(plays, 0), b(plays, 1);

		a.join();
		b.join();
		return now() - start;
	});
}

/* It has no continuations, so no chain. */
static void futures()
{
	measure("P36", "a task gives it", [](uint64_t n) {
		return on_stacks([n](auto stacks) {
			int64_t start = now();

			for (uint64_t i = 0; i < n; i++) {
				fibers::future<int64_t> f =
					fibers::async(fibers::launch::post, std::allocator_arg, stacks, [i] { return (int64_t)i; });

				if (f.get() != (int64_t)i)
					abort();
			}
			return now() - start;
		});
	});
	measure("P36", "answer to a request", [](uint64_t n) {
		struct request {
			fibers::promise<int64_t> answer;
			int64_t n;
		};
		fibers::unbuffered_channel<request *> requests;
		fibers::fiber server([&] {
			request *r;

			while (requests.pop(r) == fibers::channel_op_status::success) {
				r->answer.set_value(r->n + 1);
				delete r;
			}
		});
		int64_t v = 0, start = now(), took;

		for (uint64_t i = 0; i < n; i++) {
			request *r = new request{fibers::promise<int64_t>(), v};
			fibers::future<int64_t> f = r->answer.get_future();

			requests.push(r);
			v = f.get();
		}
		took = now() - start;
		requests.close();
		server.join();
		if (v != (int64_t)n)
			abort();
		return took;
	});
}

static const std::vector<row> rows = {
	{"P2", yield},       {"P3", yield},    {"P4", spawn},       {"P5", join},    {"P6", rendezvous}, {"P7", buffered},
	{"P8", buffered100}, {"P10", mutexes}, {"P30", conditions}, {"P34", groups}, {"P36", futures},
};

int main(int argc, char **argv)
{
	int i = peer_args(argc, argv);
	waitgroup rest(1);
	std::thread other;

	if (workers == 2) {
		other = std::thread([&] {
			fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(2);
			rest.wait();
		});
		fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(2);
	}
	for (; i < argc; i++)
		peer_run(rows, argv[i]);
	rest.done();
	if (workers == 2)
		other.join();
	return 0;
}
