/* write.c: the program behind `ninja vectors`: writes every file of vectors.h into the folder that its argument names.
 */
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "tests/vectors/vectors.h"

int
main(int argc, char **argv)
{
    size_t count;
    const vectors_file *files = vectors_files(&count);

    if (argc != 2 || sodium_init() < 0) {
        fprintf(stderr, "usage: vectors_write FOLDER\n");
        return 2;
    }
    for (size_t i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", argv[1], files[i].name);
        FILE *out = fopen(path, "we");
        if (out == NULL) {
            perror(path);
            return 1;
        }
        files[i].write(out);
        if (ferror(out) || fclose(out) != 0) {
            perror(path);
            return 1;
        }
    }
    return 0;
}
