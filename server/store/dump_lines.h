/* dump_lines.h: what writing and reading a dump share. */
#ifndef STORE_DUMP_LINES_H
#define STORE_DUMP_LINES_H

#define DUMP_HEAD "usher-dump 1"

#endif
