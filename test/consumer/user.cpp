/* SPDX-License-Identifier: MIT
 *
 * user.cpp - the same library from C++: the headers compile, the symbols link, tasks run, typed channels carry objects.
 */
#include <cstdio>
#include <weft.h>

static int twice(void *arg)
{
	int *n = static_cast<int *>(arg);

	*n *= 2;
	return 7;
}

/* The cases of a select are C++, too. */
static int selects()
{
	weft_chan *c = weft_chan_make(sizeof(int), 1);
	weft_timer *timer = weft_timer_make(0);
	weft_task *t = nullptr;
	int x = 1, in = 1, ret = 0, rc;
	int64_t at = 0;

	if (!c || !timer || weft_go_opts(&t, twice, &x, nullptr) != 0)
		return 5;
	for (int seen = 0; seen != 15; seen |= 1 << rc) {
		weft_case cases[] = {WEFT_SEND(seen & 1 ? nullptr : c, &in),
				     WEFT_EXIT(t, &ret),
				     WEFT_FD(1, WEFT_IO_W),
				     WEFT_TIMER(timer, &at),
				     WEFT_AFTER(WEFT_SEC),
				     WEFT_RECV(nullptr, &in)};

		rc = weft_chan_select(cases, 6);
		if (rc < 0 || rc > 3)
			return 6;
		if (rc == 1)
			t = nullptr;
	}
	weft_timer_free(timer);
	weft_chan_free(c);
	return ret == 7 ? 0 : 7;
}

struct shape {
	double width;
	virtual double area() const = 0;
};
struct square : shape {
	double area() const override
	{
		return width * width;
	}
};
struct sized {
	const shape *of;
	double area;
};

CHAN_DEFINE(const shape *, shapes);
CHAN_DEFINE(sized, sizes);

struct measuring {
	shapes *in;
	sizes *out;
};

static int measure(void *arg)
{
	const measuring *m = static_cast<measuring *>(arg);

	chan_foreach (m->in, const shape *, s)
		sizes_send(m->out, {s, s->area()});
	return sizes_close(m->out);
}

/* A group's options, of which some are left out: nothing is said of that, whatever warnings are asked for. */
static int grouped()
{
	measuring none = {nullptr, nullptr};
	int rc = 0, n = 1;

	(void)none;
	WITH_GROUP (g)
		rc = group_go(&g, twice, &n);
	WITH_GROUP (g, .policy = WEFT_COLLECT, .max = 2)
		rc |= group_go(&g, twice, &n);
	return rc || n != 4 ? 9 : 0;
}

static int typed()
{
	measuring m = {shapes_make(0), sizes_make(0)};
	square a, b;
	sized s = {};
	weft_task *t = nullptr;
	double sum = 0;
	int end;

	a.width = 2;
	b.width = 3;
	if (weft_go_opts(&t, measure, &m, nullptr) != 0)
		return 5;
	chan_case k[] = {sizes_on_recv(m.out, &s), CASE_SEND(nullptr, &s), CASE_AFTER(60 * SEC)};
	if (chan_put(m.in, &a) != 0 || chan_select(k, 3) != 0 || s.of != &a || s.area != 4)
		return 6;
	if (shapes_send(m.in, &b) != 0 || shapes_close(m.in) != 0)
		return 7;
	chan_foreach (m.out, sized, got, &end)
		sum += got.area;
	if (end != WEFT_ECLOSED || sum != 9 || chan_get(m.out, &s) != WEFT_ECLOSED || task_join(t, nullptr) != 0)
		return 8;
	shapes_free(m.in);
	sizes_free(m.out);
	return 0;
}

static int first(void *arg)
{
	weft_task *t = nullptr;
	int ret = 0;

	if (weft_go_opts(&t, twice, arg, nullptr) != 0 || weft_task_join(t, &ret) != 0)
		return 3;
	if (ret != 7)
		return 4;
	ret = selects();
	if (ret == 0)
		ret = grouped();
	return ret ? ret : typed();
}

int main()
{
	int n = 21;
	int rc = weft_run(first, &n, nullptr);

	std::printf("weft %s: %d %s\n", weft_version(), n, rc == 0 && n == 42 ? "ok" : "wrong");
	return rc != 0 || n != 42;
}
