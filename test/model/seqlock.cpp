/* SPDX-License-Identifier: MIT
 *
 * seqlock.cpp - model of weft/lf/seqlock.h: what a reader accepts is one record, as one writer left it, and not older than what it already knew.
 */
#include "model.h"

#include "weft/lf/seqlock.h"

struct record {
	uintptr_t a, b; /* b == a + 100 in every record that was ever written */
};
#define WORDS WEFT_SEQLOCK_WORDS(struct record)

static struct record record(uintptr_t n)
{
	struct record r = {n, n + 100};

	return r;
}

/* The lock and its record; also the steps that mutations leave out. */
struct subject {
	struct weft_seqlock lock;
	weft_seqlock_word words[WORDS];

	void be_born()
	{
		struct record r = record(0);

		weft_seqlock_init(&lock);
		store_relaxed(&words[0], r.a);
		store_relaxed(&words[1], r.b);
	}

	void put(uintptr_t n)
	{
		struct record r = record(n);

		weft_seqlock_put(words, &r, sizeof r);
	}

	void write(uintptr_t n)
	{
		if (MUTATED("the writer says only at the end that it wrote")) {
			put(n);
			weft_seqlock_write_begin(&lock);
			weft_seqlock_write_end(&lock);
			return;
		}
		weft_seqlock_write_begin(&lock);
		put(n);
		weft_seqlock_write_end(&lock);
	}

	/* Once: true if the record counted. */
	bool read(struct record *r)
	{
		uint64_t began = weft_seqlock_read_begin(&lock);

		if (began % 2 != 0)
			return false;
		weft_seqlock_get(r, words, sizeof *r);
		if (MUTATED("the reader does not look again"))
			return true;
		return !weft_seqlock_read_retry(&lock, began);
	}

	void check(struct record *r)
	{
		RL_ASSERT(r->b == r->a + 100);
	}
};

/* One writer, two records; two readers, one of whom reads twice: never torn, never backwards. */
struct one_writer : rl::test_suite<one_writer, 3> {
	struct subject s;

	void before()
	{
		s.be_born();
	}

	void thread(unsigned id)
	{
		struct record r;
		uintptr_t last = 0;

		if (id == 0) {
			s.write(1);
			s.write(2);
			return;
		}
		for (unsigned i = 0; i < id; i++) {
			if (!s.read(&r))
				continue;
			s.check(&r);
			RL_ASSERT(r.a >= last);
			last = r.a;
		}
	}

	void after()
	{
		struct record r;

		RL_ASSERT(s.read(&r));
		s.check(&r);
		RL_ASSERT(r.a == 2);
	}
};

/* What the writer did before it wrote a record is there for whoever has read that record. */
struct news : rl::test_suite<news, 2> {
	struct subject s;
	rl::var<int> plain; /* done before the record was written */

	void before()
	{
		s.be_born();
		plain($) = 0;
	}

	void thread(unsigned id)
	{
		struct record r;

		if (id == 0) {
			plain($) = 1;
			s.write(1);
		} else if (s.read(&r) && r.a == 1) {
			RL_ASSERT(plain($) == 1);
		}
	}
};

/* Two writers, each of whom counts the record up, and a reader. */
struct two_writers : rl::test_suite<two_writers, 3> {
	struct subject s;

	void before()
	{
		s.be_born();
	}

	void thread(unsigned id)
	{
		struct record r;

		if (id == 2) {
			if (s.read(&r))
				s.check(&r);
			return;
		}
		while (!(MUTATED("writers do not exclude each other") ? (weft_seqlock_write_begin(&s.lock), true)
								      : weft_seqlock_try_begin(&s.lock)))
			weft_cpu_relax();
		weft_seqlock_get(&r, s.words, sizeof r);
		s.put(r.a + 1);
		weft_seqlock_write_end(&s.lock);
	}

	void after()
	{
		struct record r;

		RL_ASSERT(s.read(&r));
		s.check(&r);
		RL_ASSERT(r.a == 2);
	}
};

static const struct scenario scenarios[] = {
	{"one writer, two readers", rl::simulate<one_writer>, 60000, 2},
	{"what came before the record", rl::simulate<news>, 20000, 2},
	{"two writers", rl::simulate<two_writers>, 60000, 2},
};

static const struct mutation mutations[] = {
	{"the reader does not look again"},
	{"the writer says only at the end that it wrote"},
	{"writers do not exclude each other"},
	{"words are stored without release", "weft_seqlock_put", "store_release", "to"},
	{"words are loaded without acquire", "weft_seqlock_get", "load_acquire", "from"},
	{"the end of a write does not release", "weft_seqlock_write_end", "store_release", "&l->seq"},
	{"the begin of a read does not acquire", "weft_seqlock_read_begin", "load_acquire", "&l->seq"},
	{"a writer does not acquire what the one before it wrote", "weft_seqlock_try_begin", "cas_acquire", "&l->seq"},
};

MODEL_MAIN(scenarios, mutations)
