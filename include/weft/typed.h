/* SPDX-License-Identifier: MIT
 *
 * weft/typed.h - channels whose element type the compiler knows. A wrong type does not compile; at run time they are weft_chan, and cost the same.
 *
 *     WEFT_CHAN_DEFINE(struct job, jobs);              short: CHAN_DEFINE
 *
 *     jobs *q = jobs_make(16);
 *
 *     jobs_send(q, (struct job){1, "one"});            or WEFT_PUT(q, job)      short: chan_put
 *     jobs_recv(q, &job);                              or WEFT_GET(q, &job)     short: chan_get
 *     weft_chan_foreach (q, struct job, j)             short: chan_foreach
 *             work(&j);
 *
 * A pointer to the type stands for the channel; it points to no element, and is never followed. What the calls do, return and cost is said in chan.h.
 *
 * C compilers before gcc 14 and clang 20 only warn about a pointer of a wrong type, or one for a number. So in C, WEFT_CHAN_DEFINE makes
 * -Wincompatible-pointer-types and -Wint-conversion errors for what follows it in the file (clang counts a lost const among the former); define
 * WEFT_CHAN_LAX before including weft.h to leave them as they are. WEFT_PUT, WEFT_GET and weft_chan_foreach are strict either way.
 */
#ifndef WEFT_TYPED_H
#define WEFT_TYPED_H

#include "chan.h"
#include "export.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

WEFT_BEGIN_DECLS

/* What macros expand to. */
struct weft__each {
	weft_chan *chan;
	int *end;
	bool more;
};

/* Which way elements go: pointers to these tell channels and ends apart. */
struct weft__way_both;
struct weft__way_tx;
struct weft__way_rx;

/* Returns c; elements of another size than elem are a fatal error of `who`. */
WEFT_API weft_chan *weft__chan_of(weft_chan *c, size_t elem, const char *who);

/* weft_chan_open for elements of that size: o may leave it out, or say the same. */
static inline weft_chan *weft__open_as(const weft_chan_opts *o, size_t elem, int *rc)
{
	weft_chan_opts own;
	weft_chan *c = 0;

	*rc = WEFT_EINVAL;
	if (o && (!o->elem || o->elem == elem)) {
		own = *o;
		own.elem = elem;
		*rc = weft_chan_open(&c, &own);
	}
	return c;
}

/* A case of a select. */
static inline weft_case weft__case_of(enum weft_case_kind kind, weft_chan *c, void *elem)
{
	weft_case k;

	k.kind = kind;
	k.status = 0;
	k.chan = c;
	k.elem = elem;
	k.ns = 0;
	return k;
}

static inline struct weft__each weft__each_begin(weft_chan *c, int *end)
{
	struct weft__each it;

	it.chan = c;
	it.end = end;
	it.more = true;
	if (end)
		*end = 0;
	return it;
}

static inline bool weft__each_next(struct weft__each *it, void *out)
{
	int rc = weft_chan_recv(it->chan, out);

	if (rc != 0 && it->end)
		*it->end = rc;
	return rc == 0;
}

WEFT_END_DECLS

/* clang-format would take _Pragma and statement expressions apart. */
/* clang-format off */
#ifdef __cplusplus
extern "C++" {

template <class A, class B> struct weft__same {
	static constexpr bool value = false;
};
template <class A> struct weft__same<A, A> {
	static constexpr bool value = true;
};

/* The element type of the channel type C. */
template <class C> struct weft__elem {
	static_assert(!weft__same<C, weft_chan>::value && !weft__same<C, weft_tx>::value && !weft__same<C, weft_rx>::value,
		      "this is an untyped channel: use weft_chan_send and weft_chan_recv, or make it a typed one with NAME_of");
	typedef decltype(C::weft_elem) type;
};

/* Whether C is an end of that direction. */
template <class C, class Way> struct weft__goes {
	static constexpr bool value = weft__same<decltype(C::weft_way), Way *>::value;
};

/* How an element is passed: by value, as in C; an array by its address. */
template <class T> struct weft__param {
	typedef const T type;
};
template <class T, decltype(sizeof(0)) n> struct weft__param<T[n]> {
	typedef const T (&type)[n];
};

template <class C> inline weft_chan *weft__untyped(C *c)
{
	return static_cast<weft_chan *>(static_cast<void *>(c));
}

template <class C> inline int weft__put(C *c, typename weft__param<typename weft__elem<C>::type>::type v)
{
	static_assert(!weft__goes<C, struct weft__way_rx>::value, "WEFT_PUT: this is a receiving end");
	return weft_chan_send(weft__untyped(c), __builtin_addressof(v));
}

template <class C, class T> inline int weft__get(C *c, T *out)
{
	static_assert(weft__same<T, typename weft__elem<C>::type>::value,
		      "WEFT_GET: this is not the address of a variable of the element type of the channel");
	static_assert(!weft__goes<C, struct weft__way_tx>::value, "WEFT_GET: this is a sending end");
	return weft_chan_recv(weft__untyped(c), out);
}

template <class C> inline int weft__get(C *c, decltype(nullptr))
{
	static_assert(!weft__goes<C, struct weft__way_tx>::value, "WEFT_GET: this is a sending end");
	return weft_chan_recv(weft__untyped(c), nullptr);
}

template <class T> inline struct weft__each weft__each_of(weft_chan *c, int *end)
{
	return weft__each_begin(weft__chan_of(c, sizeof(T), "weft_chan_foreach"), end);
}

template <class T> inline struct weft__each weft__each_of(weft_rx *r, int *end)
{
	return weft__each_begin(weft__chan_of(weft_rx_chan(r), sizeof(T), "weft_chan_foreach"), end);
}

template <class T> inline struct weft__each weft__each_of(weft_tx *t, int *end)
{
	static_assert(weft__same<T, void>::value, "weft_chan_foreach: this is a sending end, out of which nothing comes");
	return weft__each_begin(weft_tx_chan(t), end);
}

template <class T, class C> inline struct weft__each weft__each_of(C *c, int *end)
{
	static_assert(weft__same<T, typename weft__elem<C>::type>::value,
		      "weft_chan_foreach: the elements of the channel are of another type than the variable");
	static_assert(!weft__goes<C, struct weft__way_tx>::value, "weft_chan_foreach: this is a sending end, out of which nothing comes");
	return weft__each_begin(weft__untyped(c), end);
}

} /* extern "C++" */

#define WEFT__STRICT
#define WEFT__NOT_CONST(p) const_cast<void *>(static_cast<const void *>(p))
#define WEFT__TO(T, p) static_cast<T *>(static_cast<void *>(p))
#define WEFT__BY_VALUE(T, v) weft__param<__typeof__(T)>::type v
#define WEFT__VALUE_AT(T, v) __builtin_addressof(v)
#define WEFT__ELEM_CHECK(T)                                                                                                   \
	static_assert(sizeof(T) <= 65535, "WEFT_CHAN_DEFINE: an element has at most 65,535 bytes; send a pointer");           \
	static_assert(!weft__same<__typeof__(T), const __typeof__(T)>::value &&                                               \
		      !weft__same<__typeof__(T), volatile __typeof__(T)>::value,                                              \
		      "WEFT_CHAN_DEFINE: the elements cannot be const or volatile: they are written when they are received"); \
	static_assert(__is_trivially_copyable(__typeof__(T)), "WEFT_CHAN_DEFINE: elements are copied as bytes, and this class cannot be")

#define WEFT_PUT(c, ...) weft__put(c, __VA_ARGS__)
#define WEFT_GET(c, out) weft__get(c, out)
#define WEFT__EACH_BEGIN(c, T, end) weft__each_of<__typeof__(T)>(c, end)

#else /* C */

#ifdef WEFT_CHAN_LAX
#define WEFT__STRICT
#else
#define WEFT__STRICT                                                     \
	_Pragma("GCC diagnostic error \"-Wincompatible-pointer-types\"") \
	_Pragma("GCC diagnostic error \"-Wint-conversion\"")
#endif
#define WEFT__NOT_CONST(p) ((void *)(uintptr_t)(p))
#define WEFT__TO(T, p) ((T *)(void *)(p))
#define WEFT__BY_VALUE(T, v) const __typeof__(T) v
#define WEFT__VALUE_AT(T, v) _Generic(&(v), const __typeof__(T) *: &(v), default: (v)) /* an array is a pointer already */
#define WEFT__ELEM_CHECK(T)                                                                                          \
	_Static_assert(sizeof(T) <= 65535, "WEFT_CHAN_DEFINE: an element has at most 65,535 bytes; send a pointer"); \
	_Static_assert(!__builtin_types_compatible_p(__typeof__(T) *, const __typeof__(T) *) &&                      \
		       !__builtin_types_compatible_p(__typeof__(T) *, volatile __typeof__(T) *),                     \
		       "WEFT_CHAN_DEFINE: the elements cannot be const or volatile: they are written when they are received")

/* Facts of types, as constants. The kinds are gcc's type classes: 1 to 4 integers, characters, enumerations, booleans; 5 pointers; 8 and 9
 * floating-point and complex. An expression in __typeof__ is not evaluated. */
#define WEFT__TYPE_KIND(T) __builtin_classify_type(*(T *)0)
#define WEFT__IS_WHOLE(T) (WEFT__TYPE_KIND(T) >= 1 && WEFT__TYPE_KIND(T) <= 4)
#define WEFT__IS_NUMBER(T) (WEFT__IS_WHOLE(T) || WEFT__TYPE_KIND(T) == 8 || WEFT__TYPE_KIND(T) == 9)
#define WEFT__IS_POINTER(T) (WEFT__TYPE_KIND(T) == 5)
#define WEFT__ALIKE(T, U) __builtin_types_compatible_p(T, U) /* but for const and volatile of the type itself */
#define WEFT__IS_UNTYPED(c) \
	(WEFT__ALIKE(__typeof__(c), weft_chan *) || WEFT__ALIKE(__typeof__(c), weft_tx *) || WEFT__ALIKE(__typeof__(c), weft_rx *))

/* What c is a channel of, and a type's own shape as a value: an array decays. */
union weft__no_chan {
	int weft_elem;
	struct weft__way_both *weft_way;
};
#define WEFT__TYPED(c) __builtin_choose_expr(WEFT__IS_UNTYPED(c), (union weft__no_chan *)0, (c))
#define WEFT__ELEM(c) __typeof__(WEFT__TYPED(c)->weft_elem)
#define WEFT__GOES(c, way) WEFT__ALIKE(__typeof__(WEFT__TYPED(c)->weft_way), struct weft__way_##way *)
#define WEFT__DECAYED(e) __typeof__(__extension__({ (e); }))

/* What a pointer type points to; int for others. Its const and volatile, on void. */
#define WEFT__AIM(T) __typeof__(*__builtin_choose_expr(WEFT__IS_POINTER(T), *(T *)0, (int *)0))
#define WEFT__QUALIFIERS(T) __typeof__(1 ? (void *)1 : (WEFT__AIM(T) *)0)

/* Is e the constant 0, resp. (void *)0? T is its type. */
#define WEFT__IF(cond, e) __builtin_choose_expr(cond, (e), 0)
#define WEFT__IS_CONSTANT(T, e) (sizeof(*(1 ? (void *)((intptr_t)WEFT__IF(WEFT__IS_WHOLE(T), e) * 0) : (int *)0)) == sizeof(int))
#define WEFT__IS_ZERO(T, e) (WEFT__IS_WHOLE(T) && __builtin_choose_expr(WEFT__IS_WHOLE(T) && WEFT__IS_CONSTANT(T, e), (e), 1) == 0)
struct weft__probe;
#define WEFT__IS_NULL(T, e)                                                                                                             \
	(WEFT__ALIKE(T, void *) &&                                                                                                      \
	 _Generic(1 ? (struct weft__probe *)0 : __builtin_choose_expr(WEFT__ALIKE(T, void *), (e), (void *)0), struct weft__probe *: 1, \
		  default: 0))

/* May a value of type From become a pointer To, as in an assignment? */
#define WEFT__AIMS_FIT(To, From)                                                                            \
	(!WEFT__IS_POINTER(To) || !WEFT__IS_POINTER(From) || WEFT__ALIKE(WEFT__AIM(To), WEFT__AIM(From)) || \
	 WEFT__ALIKE(WEFT__AIM(To), void) || WEFT__ALIKE(WEFT__AIM(From), void))
#define WEFT__QUALIFIERS_FIT(To, From)                       \
	(!WEFT__IS_POINTER(To) || !WEFT__IS_POINTER(From) || \
	 WEFT__ALIKE(__typeof__(1 ? (WEFT__QUALIFIERS(To))1 : (WEFT__QUALIFIERS(From))1), WEFT__QUALIFIERS(To)))

/* A WEFT_PUT among the arguments of another declares the same names again, hence no -Wshadow. clang wonders about functions' qualifiers. */
#ifdef __clang__
#define WEFT__QUIET _Pragma("GCC diagnostic ignored \"-Wshadow\"") _Pragma("GCC diagnostic ignored \"-Wpointer-type-mismatch\"")
#else
#define WEFT__QUIET _Pragma("GCC diagnostic ignored \"-Wshadow\"")
#endif

/* An array is sent from where it is. */
#define WEFT_PUT(c, ...) WEFT__PUT(c, (__VA_ARGS__))
#define WEFT__PUT(c, value)                                                                                                       \
	__extension__({                                                                                                          \
		_Pragma("GCC diagnostic push") WEFT__QUIET                                                                       \
		_Static_assert(!WEFT__IS_UNTYPED(c),                                                                             \
			       "WEFT_PUT: this is an untyped channel: use weft_chan_send, or make it a typed one with NAME_of"); \
		_Static_assert(!WEFT__GOES(c, rx), "WEFT_PUT: this is a receiving end");                                         \
		typedef WEFT__ELEM(c) weft__want;                                                                                \
		typedef WEFT__DECAYED(*(weft__want *)0) weft__decayed;                                                           \
		typedef WEFT__DECAYED(value) weft__have;                                                                         \
		enum {                                                                                                           \
			weft__array = !WEFT__ALIKE(weft__want, weft__decayed),                                                   \
			weft__pointer = !weft__array && WEFT__IS_POINTER(weft__want),                                            \
			weft__number = !weft__array && WEFT__IS_NUMBER(weft__want),                                              \
		};                                                                                                               \
		_Static_assert(!weft__array || WEFT__ALIKE(__typeof__(WEFT__IF(weft__array, value)), weft__want) ||              \
				       WEFT__ALIKE(__typeof__(WEFT__IF(weft__array, value)), const weft__want),                  \
			       "WEFT_PUT: the elements of the channel are arrays of another type or length");                    \
		_Static_assert(!weft__pointer || WEFT__IS_POINTER(weft__have) || WEFT__IS_ZERO(weft__have, value),               \
			       "WEFT_PUT: the elements of the channel are pointers, and this is none");                          \
		_Static_assert(!weft__pointer || WEFT__AIMS_FIT(weft__want, weft__have),                                         \
			       "WEFT_PUT: the elements of the channel are pointers to another type");                            \
		_Static_assert(!weft__pointer || WEFT__QUALIFIERS_FIT(weft__want, weft__have),                                   \
			       "WEFT_PUT: this points to something const or volatile, the elements of the channel do not");      \
		_Static_assert(!weft__number || WEFT__IS_NUMBER(weft__have),                                                     \
			       "WEFT_PUT: the elements of the channel are numbers, and this is none");                           \
		_Static_assert(weft__array || weft__pointer || weft__number || WEFT__ALIKE(weft__want, weft__have),              \
			       "WEFT_PUT: the elements of the channel are of another type");                                     \
		__typeof__(c) weft__c = (c);                                                                                     \
		__typeof__(*__builtin_choose_expr(weft__array, (const void **)0, (weft__want *)0)) weft__v = (value);            \
		_Pragma("GCC diagnostic pop")                                                                                    \
		weft_chan_send(WEFT__TO(weft_chan, weft__c), __builtin_choose_expr(weft__array, weft__v, &weft__v));             \
	})

#define WEFT_GET(c, out)                                                                                                         \
	__extension__({                                                                                                          \
		_Pragma("GCC diagnostic push") WEFT__QUIET                                                                       \
		_Static_assert(!WEFT__IS_UNTYPED(c),                                                                             \
			       "WEFT_GET: this is an untyped channel: use weft_chan_recv, or make it a typed one with NAME_of"); \
		_Static_assert(!WEFT__GOES(c, tx), "WEFT_GET: this is a sending end");                                           \
		typedef WEFT__ELEM(c) weft__want;                                                                                \
		typedef WEFT__DECAYED(out) weft__have;                                                                           \
		_Static_assert(WEFT__ALIKE(weft__have, weft__want *) || WEFT__IS_NULL(weft__have, out),                          \
			       "WEFT_GET: this is not the address of a variable of the element type of the channel");            \
		_Pragma("GCC diagnostic pop")                                                                                    \
		weft_chan_recv(WEFT__TO(weft_chan, c), (void *)(out));                                                           \
	})

#define WEFT__EACH_BEGIN(c, T, end)                                                                                                      \
	weft__each_begin(__extension__({                                                                                                 \
				 _Static_assert(WEFT__IS_UNTYPED(c) || WEFT__ALIKE(__typeof__(T), WEFT__ELEM(c)),                        \
						"weft_chan_foreach: the elements of the channel are of another type than the variable"); \
				 _Static_assert(!WEFT__ALIKE(__typeof__(c), weft_tx *) && !WEFT__GOES(c, tx),                            \
						"weft_chan_foreach: this is a sending end, out of which nothing comes");                 \
				 weft_chan *weft__c = WEFT__TO(weft_chan, c);                                                            \
				 WEFT__IS_UNTYPED(c) ? weft__chan_of(weft__c, sizeof(T), "weft_chan_foreach") : weft__c;                 \
			 }),                                                                                                             \
			 end)
#endif

/* WEFT_CHAN_DEFINE(T, name); - the type `name` of channels of T, and those of their ends, name_tx and name_rx.
 *
 *   T     any object type of at most 65,535 bytes; arrays too; in C++ one that is trivially copyable. Not const: what is received is written
 *   name  an identifier; name_... below are declared as static inline functions
 *
 * name *name_make(cap)                         as weft_chan_make
 * name_open(&c, &opts)                         as weft_chan_open; opts.elem may be left out
 * name_close(c), name_len(c), name_cap(c), name_ref(c), name_free(c)
 * weft_chan *name_chan(c)                      the same channel untyped, borrowed
 * name *name_of(chan)                          the other way; a fatal error if the elements' size is not that of T
 *
 * name_send(c, v)                              by value; an array by its address, as C passes it (WEFT_PUT, and C++, look at its length, too)
 * name_send_until(c, v, deadline), name_trysend(c, v)
 * name_send_many(c, array, n), name_send_many_until(c, array, n, deadline)
 * name_reserve(c, &slot), name_reserve_until(c, &slot, deadline), name_commit(c), name_abort(c)       slot: a T *
 * name_on_send(c, &v)                          a case of a select, as WEFT_SEND
 *
 * name_recv(c, &v), name_recv_until(c, &v, deadline), name_tryrecv(c, &v)
 * name_recv_many(c, array, n), name_recv_many_until(c, array, n, deadline)
 * name_peek(c, &slot), name_peek_until(c, &slot, deadline), name_release(c)
 * name_on_recv(c, &v)                          as WEFT_RECV
 *
 * name_tx *name_tx_make(c)                     a sending end more; name_tx_ref(t), name_tx_free(t); and all from name_send to name_on_send as name_tx_send ...
 * name_rx *name_rx_make(c)                     a receiving end more, likewise, name_recv to name_on_recv as name_rx_recv ...
 * name *name_tx_chan(t), name *name_rx_chan(r) the channel that it is an end of, borrowed
 * weft_tx *name_tx_end(t), weft_rx *name_rx_end(r)    the same end untyped, borrowed
 * name_oneshot(&t, &r), name_oneshot_send(t, v)       as weft_oneshot_make, weft_oneshot_send
 *
 * Written at file scope, with a semicolon.
 */
#define WEFT__TYPED_FN __attribute__((unused)) static inline

#define WEFT_CHAN_DEFINE(T, name)                                                                                       \
	WEFT__STRICT                                                                                                    \
	WEFT__ELEM_CHECK(T);                                                                                            \
	WEFT__TYPE(T, name, both)                                                                                       \
	WEFT__TYPE(T, name##_tx, tx)                                                                                    \
	WEFT__TYPE(T, name##_rx, rx)                                                                                    \
	WEFT__WHOLE(T, name)                                                                                            \
	WEFT__ENDS(T, name)                                                                                             \
	WEFT__SENDS(T, name)                                                                                            \
	WEFT__SENDS(T, name##_tx)                                                                                       \
	WEFT__RECEIVES(T, name)                                                                                         \
	WEFT__RECEIVES(T, name##_rx)                                                                                    \
	typedef union name name

#define WEFT__TYPE(T, name, way)                                                                                        \
	typedef union name {                                                                                            \
		__typeof__(T) weft_elem;                                                                                \
		struct weft__way_##way *weft_way;                                                                       \
	} name;

/* Of a channel as a whole. */
#define WEFT__WHOLE(T, name)                                                                                            \
	WEFT__TYPED_FN weft_chan *name##_chan(name *weft_c)                                                             \
	{                                                                                                               \
		return WEFT__TO(weft_chan, weft_c);                                                                     \
	}                                                                                                               \
	WEFT__TYPED_FN name *name##_of(weft_chan *weft_c)                                                               \
	{                                                                                                               \
		return WEFT__TO(name, weft__chan_of(weft_c, sizeof(T), #name "_of"));                                   \
	}                                                                                                               \
	WEFT__TYPED_FN name *name##_make(size_t weft_cap)                                                               \
	{                                                                                                               \
		return WEFT__TO(name, weft_chan_make(sizeof(T), weft_cap));                                             \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_open(name **weft_out, const weft_chan_opts *weft_o)                                   \
	{                                                                                                               \
		int weft_rc;                                                                                            \
		weft_chan *weft_c = weft__open_as(weft_out ? weft_o : 0, sizeof(T), &weft_rc);                          \
		                                                                                                        \
		if (weft_out)                                                                                           \
			*weft_out = WEFT__TO(name, weft_c);                                                             \
		return weft_rc;                                                                                         \
	}                                                                                                               \
	WEFT__TYPED_FN name *name##_ref(name *weft_c)                                                                   \
	{                                                                                                               \
		return WEFT__TO(name, weft_chan_ref(WEFT__TO(weft_chan, weft_c)));                                      \
	}                                                                                                               \
	WEFT__TYPED_FN void name##_free(name *weft_c)                                                                   \
	{                                                                                                               \
		weft_chan_free(WEFT__TO(weft_chan, weft_c));                                                            \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_close(name *weft_c)                                                                   \
	{                                                                                                               \
		return weft_chan_close(WEFT__TO(weft_chan, weft_c));                                                    \
	}                                                                                                               \
	WEFT__TYPED_FN size_t name##_len(name *weft_c)                                                                  \
	{                                                                                                               \
		return weft_chan_len(WEFT__TO(weft_chan, weft_c));                                                      \
	}                                                                                                               \
	WEFT__TYPED_FN size_t name##_cap(name *weft_c)                                                                  \
	{                                                                                                               \
		return weft_chan_cap(WEFT__TO(weft_chan, weft_c));                                                      \
	}

/* Of its ends. */
#define WEFT__ENDS(T, name)                                                                                             \
	WEFT__TYPED_FN weft_tx *name##_tx_end(name##_tx *weft_e)                                                        \
	{                                                                                                               \
		return WEFT__TO(weft_tx, weft_e);                                                                       \
	}                                                                                                               \
	WEFT__TYPED_FN name *name##_tx_chan(name##_tx *weft_e)                                                          \
	{                                                                                                               \
		return WEFT__TO(name, weft_e);                                                                          \
	}                                                                                                               \
	WEFT__TYPED_FN name##_tx *name##_tx_make(name *weft_c)                                                          \
	{                                                                                                               \
		return WEFT__TO(name##_tx, weft_chan_tx(WEFT__TO(weft_chan, weft_c)));                                  \
	}                                                                                                               \
	WEFT__TYPED_FN name##_tx *name##_tx_ref(name##_tx *weft_e)                                                      \
	{                                                                                                               \
		return WEFT__TO(name##_tx, weft_tx_ref(WEFT__TO(weft_tx, weft_e)));                                     \
	}                                                                                                               \
	WEFT__TYPED_FN void name##_tx_free(name##_tx *weft_e)                                                           \
	{                                                                                                               \
		weft_tx_free(WEFT__TO(weft_tx, weft_e));                                                                \
	}                                                                                                               \
	WEFT__TYPED_FN weft_rx *name##_rx_end(name##_rx *weft_e)                                                        \
	{                                                                                                               \
		return WEFT__TO(weft_rx, weft_e);                                                                       \
	}                                                                                                               \
	WEFT__TYPED_FN name *name##_rx_chan(name##_rx *weft_e)                                                          \
	{                                                                                                               \
		return WEFT__TO(name, weft_e);                                                                          \
	}                                                                                                               \
	WEFT__TYPED_FN name##_rx *name##_rx_make(name *weft_c)                                                          \
	{                                                                                                               \
		return WEFT__TO(name##_rx, weft_chan_rx(WEFT__TO(weft_chan, weft_c)));                                  \
	}                                                                                                               \
	WEFT__TYPED_FN name##_rx *name##_rx_ref(name##_rx *weft_e)                                                      \
	{                                                                                                               \
		return WEFT__TO(name##_rx, weft_rx_ref(WEFT__TO(weft_rx, weft_e)));                                     \
	}                                                                                                               \
	WEFT__TYPED_FN void name##_rx_free(name##_rx *weft_e)                                                           \
	{                                                                                                               \
		weft_rx_free(WEFT__TO(weft_rx, weft_e));                                                                \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_oneshot(name##_tx **weft_t, name##_rx **weft_r)                                       \
	{                                                                                                               \
		weft_tx *weft_s = 0;                                                                                    \
		weft_rx *weft_e = 0;                                                                                    \
		int weft_rc = weft_oneshot_make(sizeof(T), weft_t ? &weft_s : 0, weft_r ? &weft_e : 0);                 \
		                                                                                                        \
		if (weft_t)                                                                                             \
			*weft_t = WEFT__TO(name##_tx, weft_s);                                                          \
		if (weft_r)                                                                                             \
			*weft_r = WEFT__TO(name##_rx, weft_e);                                                          \
		return weft_rc;                                                                                         \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_oneshot_send(name##_tx *weft_e, WEFT__BY_VALUE(T, weft_v))                            \
	{                                                                                                               \
		return weft_oneshot_send(WEFT__TO(weft_tx, weft_e), WEFT__VALUE_AT(T, weft_v));                         \
	}

/* Of what can be sent into, and received from: channels and ends. */
#define WEFT__SENDS(T, name)                                                                                            \
	WEFT__TYPED_FN int name##_send(name *weft_c, WEFT__BY_VALUE(T, weft_v))                                         \
	{                                                                                                               \
		return weft_chan_send(WEFT__TO(weft_chan, weft_c), WEFT__VALUE_AT(T, weft_v));                          \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_send_until(name *weft_c, WEFT__BY_VALUE(T, weft_v), int64_t weft_until)               \
	{                                                                                                               \
		return weft_chan_send_until(WEFT__TO(weft_chan, weft_c), WEFT__VALUE_AT(T, weft_v), weft_until);        \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_trysend(name *weft_c, WEFT__BY_VALUE(T, weft_v))                                      \
	{                                                                                                               \
		return weft_chan_trysend(WEFT__TO(weft_chan, weft_c), WEFT__VALUE_AT(T, weft_v));                       \
	}                                                                                                               \
	WEFT__TYPED_FN ssize_t name##_send_many(name *weft_c, const __typeof__(T) *weft_v, size_t weft_n)               \
	{                                                                                                               \
		return weft_chan_send_many(WEFT__TO(weft_chan, weft_c), weft_v, weft_n);                                \
	}                                                                                                               \
	WEFT__TYPED_FN ssize_t name##_send_many_until(name *weft_c, const __typeof__(T) *weft_v, size_t weft_n, int64_t weft_until) \
	{                                                                                                               \
		return weft_chan_send_many_until(WEFT__TO(weft_chan, weft_c), weft_v, weft_n, weft_until);              \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_reserve_until(name *weft_c, __typeof__(T) **weft_slot, int64_t weft_until)            \
	{                                                                                                               \
		void *weft_p = 0;                                                                                       \
		int weft_rc = weft_chan_reserve_until(WEFT__TO(weft_chan, weft_c), weft_slot ? &weft_p : 0, weft_until); \
		                                                                                                        \
		if (weft_slot)                                                                                          \
			*weft_slot = WEFT__TO(__typeof__(T), weft_p);                                                   \
		return weft_rc;                                                                                         \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_reserve(name *weft_c, __typeof__(T) **weft_slot)                                      \
	{                                                                                                               \
		return name##_reserve_until(weft_c, weft_slot, WEFT_FOREVER);                                           \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_commit(name *weft_c)                                                                  \
	{                                                                                                               \
		return weft_chan_commit(WEFT__TO(weft_chan, weft_c));                                                   \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_abort(name *weft_c)                                                                   \
	{                                                                                                               \
		return weft_chan_abort(WEFT__TO(weft_chan, weft_c));                                                    \
	}                                                                                                               \
	WEFT__TYPED_FN weft_case name##_on_send(name *weft_c, const __typeof__(T) *weft_v)                              \
	{                                                                                                               \
		return weft__case_of(WEFT_CASE_SEND, WEFT__TO(weft_chan, weft_c), WEFT__NOT_CONST(weft_v));             \
	}

#define WEFT__RECEIVES(T, name)                                                                                         \
	WEFT__TYPED_FN int name##_recv(name *weft_c, __typeof__(T) *weft_out)                                           \
	{                                                                                                               \
		return weft_chan_recv(WEFT__TO(weft_chan, weft_c), weft_out);                                           \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_recv_until(name *weft_c, __typeof__(T) *weft_out, int64_t weft_until)                 \
	{                                                                                                               \
		return weft_chan_recv_until(WEFT__TO(weft_chan, weft_c), weft_out, weft_until);                         \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_tryrecv(name *weft_c, __typeof__(T) *weft_out)                                        \
	{                                                                                                               \
		return weft_chan_tryrecv(WEFT__TO(weft_chan, weft_c), weft_out);                                        \
	}                                                                                                               \
	WEFT__TYPED_FN ssize_t name##_recv_many(name *weft_c, __typeof__(T) *weft_out, size_t weft_n)                   \
	{                                                                                                               \
		return weft_chan_recv_many(WEFT__TO(weft_chan, weft_c), weft_out, weft_n);                              \
	}                                                                                                               \
	WEFT__TYPED_FN ssize_t name##_recv_many_until(name *weft_c, __typeof__(T) *weft_out, size_t weft_n, int64_t weft_until) \
	{                                                                                                               \
		return weft_chan_recv_many_until(WEFT__TO(weft_chan, weft_c), weft_out, weft_n, weft_until);            \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_peek_until(name *weft_c, __typeof__(T) **weft_slot, int64_t weft_until)               \
	{                                                                                                               \
		void *weft_p = 0;                                                                                       \
		int weft_rc = weft_chan_peek_until(WEFT__TO(weft_chan, weft_c), weft_slot ? &weft_p : 0, weft_until);   \
		                                                                                                        \
		if (weft_slot)                                                                                          \
			*weft_slot = WEFT__TO(__typeof__(T), weft_p);                                                   \
		return weft_rc;                                                                                         \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_peek(name *weft_c, __typeof__(T) **weft_slot)                                         \
	{                                                                                                               \
		return name##_peek_until(weft_c, weft_slot, WEFT_FOREVER);                                              \
	}                                                                                                               \
	WEFT__TYPED_FN int name##_release(name *weft_c)                                                                 \
	{                                                                                                               \
		return weft_chan_release(WEFT__TO(weft_chan, weft_c));                                                  \
	}                                                                                                               \
	WEFT__TYPED_FN weft_case name##_on_recv(name *weft_c, __typeof__(T) *weft_out)                                  \
	{                                                                                                               \
		return weft__case_of(WEFT_CASE_RECV, WEFT__TO(weft_chan, weft_c), weft_out);                            \
	}

/* WEFT_PUT(c, value), WEFT_GET(c, &variable) - send and receive on a typed channel, or an end, of any type defined by WEFT_CHAN_DEFINE.
 *
 * The value is converted as in an assignment. The variable must be of the element type itself; NULL: what comes is dropped. Arguments are evaluated
 * once. Return what weft_chan_send and weft_chan_recv return. The value may be a compound literal with commas.
 */

/* weft_chan_foreach (c, T, v) { ... } - receive into a variable v of type T, which is declared here, until nothing more comes.
 *
 *   c    a channel of T or a receiving end of one, typed; or untyped, with elements of T's size (anything else is a fatal error); borrowed, evaluated once
 *   end  optional fourth argument, an int *: how it ended
 *
 * It ends when the channel is closed and empty, or the task is cancelled or out of time. break, continue, return and goto are allowed in it.
 * *end is 0 while it runs, and stays 0 if it was left by break; else it is WEFT_ECLOSED, WEFT_ECANCELED or WEFT_ETIMEDOUT:
 *
 *     weft_chan_foreach (q, struct job, j, &end)
 *             if (!work(&j))
 *                     break;
 *     if (end != WEFT_ECLOSED)
 *             ...
 */
#define weft_chan_foreach(c, T, ...) WEFT__EACH(__COUNTER__, c, T, __VA_ARGS__, NULL, ~)
#define WEFT__EACH(n, c, T, v, end, ...) WEFT__EACH_NAMED(n, c, T, v, end)
#define WEFT__EACH_NAMED(n, c, T, v, end)                                                                                      \
	for (struct weft__each weft__each_##n = WEFT__EACH_BEGIN(c, T, end); weft__each_##n.more; weft__each_##n.more = false) \
		for (__typeof__(T) v; weft__each_next(&weft__each_##n, &v);)
/* clang-format on */

#endif
