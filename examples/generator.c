/* SPDX-License-Identifier: MIT
 *
 * generator.c - do two trees hold the same numbers? Each is walked by a generator, a plain recursive function that yields from any depth; they are compared number by
 * number, and no further than needed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <weft.h>

struct node {
	int value;
	struct node *left, *right;
};

static int visited;

static struct node *insert(struct node *n, int value)
{
	if (!n) {
		n = calloc(1, sizeof *n);
		if (!n)
			exit(1);
		n->value = value;
	} else if (value < n->value) {
		n->left = insert(n->left, value);
	} else {
		n->right = insert(n->right, value);
	}
	return n;
}

static void drop(struct node *n)
{
	if (!n)
		return;
	drop(n->left);
	drop(n->right);
	free(n);
}

/* In order. A yield that fails says that nobody wants any more. */
static int walk(void *arg)
{
	struct node *n = arg;
	int rc;

	if (!n)
		return 0;
	rc = walk(n->left);
	if (rc)
		return rc;
	visited++;
	rc = gen_yield(&n->value);
	return rc ? rc : walk(n->right);
}

/* Returns how many numbers were looked at in each, negative if they differ there. */
static int compare(struct node *a, struct node *b)
{
	weft_gen *ga = NULL, *gb = NULL;
	int va, vb, n = 0, rc_a, rc_b;

	if (gen_make(&ga, sizeof(int), walk, a) != 0 || gen_make(&gb, sizeof(int), walk, b) != 0)
		exit(1);
	do {
		n++;
		rc_a = gen_next(ga, &va);
		rc_b = gen_next(gb, &vb);
	} while (rc_a == 0 && rc_b == 0 && va == vb);
	gen_free(ga);
	gen_free(gb);
	return rc_a == WEFT_ECLOSED && rc_b == WEFT_ECLOSED ? n - 1 : -n;
}

static struct node *tree(const int *values, int n)
{
	struct node *t = NULL;

	for (int i = 0; i < n; i++)
		t = insert(t, values[i]);
	return t;
}

WEFT_MAIN(argc, argv)
{
	const int one[] = {5, 2, 8, 1, 9, 3, 7}, other[] = {1, 2, 3, 5, 7, 8, 9}, third[] = {2, 1, 4, 5, 7, 8, 9};
	struct node *a = tree(one, 7), *b = tree(other, 7), *c = tree(third, 7);
	weft_gen *g = NULL;
	int sum = 0, n;

	(void)argc;
	(void)argv;
	printf("the same: %d\n", compare(a, b));
	visited = 0;
	n = compare(a, c);
	printf("not the same: %d, after %d nodes\n", n, visited);

	if (gen_make(&g, sizeof(int), walk, a) != 0)
		return 1;
	GEN_FOREACH(g, int, v)
	{
		if (v > 5)
			break;
		sum += v;
	}
	gen_free(g);
	printf("the sum of those up to 5: %d\n", sum);
	drop(a);
	drop(b);
	drop(c);
	return 0;
}
