/* form.c: finds the fields that many requests share. See form.h. */
#include "server/commit/form.h"

#include <assert.h>
#include <string.h>

static const usher_field *
find(const usher_layout *layout, const char *name, usher_kind kind)
{
    for (size_t i = 0; i < layout->field_count; i++) {
        if (strcmp(layout->fields[i].name, name) != 0)
            continue;
        assert(layout->fields[i].kind == kind);
        return &layout->fields[i];
    }
    return NULL;
}

static size_t
larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

void
forms_fill(struct forms *forms)
{
    size_t count;

    memset(forms, 0, sizeof *forms);
    forms->first = usher_messages(&count);
    assert(count <= FORMS_MOST);
    for (size_t i = 0; i < count; i++) {
        const usher_message *message = &forms->first[i];
        forms->of[i] = (struct form){
            .token = find(message->request, "token", USHER_KIND_BYTES),
            .user = find(message->request, "user", USHER_KIND_UUID),
            .request_id = find(message->request, "request_id", USHER_KIND_ID),
            .signature = find(message->request, "signature", USHER_KIND_SIGNATURE),
        };
        forms->struct_size_most = larger(forms->struct_size_most, message->request->struct_size);
        forms->struct_size_most = larger(forms->struct_size_most, message->reply->struct_size);
    }
}
