/* consumer.h: the history consumer's rows; and the consumer of a store in memory alone (on LMDB: disk.h). */
#ifndef STORE_CONSUMER_H
#define STORE_CONSUMER_H

#include "server/store/internal.h"

/* The rows that an event gives, at most PAYMENT_SEATS_MOST, made from its payment or refund. */
size_t consumer_rows_of_payment(const struct event_row *event, const struct payment_row *payment,
                                struct history_record *rows);
size_t consumer_rows_of_refund(const struct event_row *event, const struct refund_row *refund,
                               struct history_record *rows);
/* Rows of one event are never split: how many of these remain when `next` did not fit. */
size_t consumer_whole_events(const struct history_record *rows, size_t count, const struct history_record *next);

struct consumer *consumer_open(void);
void consumer_close(struct consumer *consumer);
enum store_step consumer_step(struct store *store, uint32_t most);
uint64_t consumer_cursor(const struct store *store);
size_t consumer_rows(const struct store *store, uint64_t user_no, uint64_t after_event_no, struct history_record *rows,
                     size_t most, bool *more);

#endif
