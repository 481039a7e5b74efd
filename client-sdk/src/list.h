/* list.h: doubly linked lists whose links are part of what they link. A list is a link that points to itself when it is
 * empty; a link that is in no list points to itself as well, so taking one out twice does no harm. */
#ifndef USHER_LIST_H
#define USHER_LIST_H

#include <stdbool.h>

struct usher_list {
    struct usher_list *next, *previous;
};

static inline void
usher_list_clear(struct usher_list *list)
{
    list->next = list->previous = list;
}

static inline bool
usher_list_is_empty(const struct usher_list *list)
{
    return list->next == list;
}

/* Put a link, which must be in no list, in front of another one; in front of the list itself means at its end. */
static inline void
usher_list_insert(struct usher_list *before, struct usher_list *link)
{
    link->next = before;
    link->previous = before->previous;
    before->previous->next = link;
    before->previous = link;
}

static inline void
usher_list_append(struct usher_list *list, struct usher_list *link)
{
    usher_list_insert(list, link);
}

static inline void
usher_list_remove(struct usher_list *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    usher_list_clear(link);
}

/* The first link taken out, or NULL. */
static inline struct usher_list *
usher_list_take(struct usher_list *list)
{
    struct usher_list *first = list->next;

    if (first == list)
        return (void *)0;
    usher_list_remove(first);
    return first;
}

#endif
