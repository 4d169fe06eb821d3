/* SPDX-License-Identifier: MIT
 *
 * user.cpp - the same library from C++: the headers compile, the symbols link, tasks run.
 */
#include <cstdio>
#include <weft.h>

static int twice(void *arg)
{
	int *n = static_cast<int *>(arg);

	*n *= 2;
	return 7;
}

static int first(void *arg)
{
	weft_task *t = nullptr;
	int ret = 0;

	if (weft_go_opts(&t, twice, arg, nullptr) != 0 || weft_task_join(t, &ret) != 0)
		return 3;
	return ret == 7 ? 0 : 4;
}

int main()
{
	int n = 21;
	int rc = weft_run(first, &n, nullptr);

	std::printf("weft %s: %d %s\n", weft_version(), n, rc == 0 && n == 42 ? "ok" : "wrong");
	return rc != 0 || n != 42;
}
