/* SPDX-License-Identifier: MIT
 *
 * weft/short.h - the short names. Define WEFT_NO_SHORT_NAMES before including weft.h to do without.
 */
#ifndef WEFT_SHORT_H
#define WEFT_SHORT_H

typedef weft_task task;
typedef weft_task_opts task_opts;
typedef weft_chan chan;
typedef weft_case chan_case;
typedef weft_ctx ctx;
typedef weft_mutex mutex;
typedef weft_wg waitgroup;
typedef weft_tcp tcp;
typedef weft_tcp_listener tcp_listener;

#ifndef NS
#define NS WEFT_NS
#define US WEFT_US
#define MS WEFT_MS
#define SEC WEFT_SEC
#endif
#define NOW WEFT_NOW
#define FOREVER WEFT_FOREVER

#ifndef __cplusplus
#define go(...) weft_go(__VA_ARGS__)
#endif
#define go_opts weft_go_opts
#ifndef __cplusplus /* there std::chrono has functions of that name */
#define now() weft_now()
#endif
#define task_join weft_task_join
#define task_join_until weft_task_join_until
#define task_detach weft_task_detach
#define task_self weft_task_self
#define task_id weft_task_id
#define task_name weft_task_name
#define task_stateof weft_task_stateof
#define task_cancel weft_task_cancel
#define task_yield weft_task_yield
#define task_sleep weft_task_sleep
#define task_sleep_until weft_task_sleep_until
#define task_park weft_task_park
#define task_park_until weft_task_park_until
#define task_unpark weft_task_unpark
#define task_exit weft_task_exit
#define task_stack_left weft_task_stack_left

#define chan_make weft_chan_make
#define chan_ref weft_chan_ref
#define chan_free weft_chan_free
#define chan_send weft_chan_send
#define chan_send_until weft_chan_send_until
#define chan_recv weft_chan_recv
#define chan_recv_until weft_chan_recv_until
#define chan_trysend weft_chan_trysend
#define chan_tryrecv weft_chan_tryrecv
#define chan_close weft_chan_close
#define chan_len weft_chan_len
#define chan_cap weft_chan_cap
#define chan_select weft_chan_select
#define chan_select_until weft_chan_select_until
#define CASE_SEND WEFT_SEND
#define CASE_RECV WEFT_RECV
#define CASE_AFTER WEFT_AFTER
#define CASE_DEFAULT WEFT_OTHERWISE

#define mutex_lock weft_mutex_lock
#define mutex_lock_until weft_mutex_lock_until
#define mutex_trylock weft_mutex_trylock
#define mutex_unlock weft_mutex_unlock
#define wg_add weft_wg_add
#define wg_done weft_wg_done
#define wg_wait weft_wg_wait
#define wg_wait_until weft_wg_wait_until

#define ctx_make weft_ctx_make
#define ctx_with_deadline weft_ctx_with_deadline
#define ctx_cancel weft_ctx_cancel
#define ctx_reason weft_ctx_reason
#define ctx_deadline weft_ctx_deadline
#define ctx_self weft_ctx_self
#define ctx_enter weft_ctx_enter
#define ctx_leave weft_ctx_leave
#define ctx_check weft_ctx_check
#define ctx_ref weft_ctx_ref
#define ctx_free weft_ctx_free

#define timer_after weft_timer_after
#define timer_make weft_timer_make
#define ticker_make weft_ticker_make
#define timer_chan weft_timer_chan
#define timer_stop weft_timer_stop
#define timer_reset weft_timer_reset
#define timer_free weft_timer_free

#define addr_parse weft_addr_parse
#define addr_format weft_addr_format
#define addr_port weft_addr_port
#define tcp_listen weft_tcp_listen
#define tcp_accept weft_tcp_accept
#define tcp_accept_until weft_tcp_accept_until
#define tcp_listener_addr weft_tcp_listener_addr
#define tcp_listener_ref weft_tcp_listener_ref
#define tcp_listener_close weft_tcp_listener_close
#define tcp_dial weft_tcp_dial
#define tcp_dial_until weft_tcp_dial_until
#define tcp_read weft_tcp_read
#define tcp_read_until weft_tcp_read_until
#define tcp_readv weft_tcp_readv
#define tcp_readv_until weft_tcp_readv_until
#define tcp_write weft_tcp_write
#define tcp_write_until weft_tcp_write_until
#define tcp_writev weft_tcp_writev
#define tcp_writev_until weft_tcp_writev_until
#define tcp_set_deadline weft_tcp_set_deadline
#define tcp_shutdown weft_tcp_shutdown
#define tcp_ref weft_tcp_ref
#define tcp_close weft_tcp_close
#define tcp_local weft_tcp_local
#define tcp_peer weft_tcp_peer
#define tcp_nodelay weft_tcp_nodelay
#define tcp_keepalive weft_tcp_keepalive
#define io_wait weft_io_wait
#define io_wait_until weft_io_wait_until
#define io_forget weft_io_forget
#define IO_R WEFT_IO_R
#define IO_W WEFT_IO_W

#endif
