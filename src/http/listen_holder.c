#include "http/listen_holder.h"

#include <dirent.h>
#include <stdio.h>

enum { HOLDER_TABLE_MAX = 8 << 20 };

/* "  0: 0100007F:33F9 00000000:0000 0A ... inode": the inode of a listening socket on this port. */
static bool holder_line(struct str line, unsigned port, uint64_t *ret_inode)
{
    struct str word[10];
    size_t n = 0;
    while (n < 10 && str_word(&line, &word[n]))
        n++;
    const char *colon = n == 10 ? memrchr(word[1].p, ':', word[1].n) : NULL;
    uint64_t number;
    if (!colon || !str_is(word[3], "0A"))
        return false;
    struct str hex = {colon + 1, word[1].n - (size_t)(colon + 1 - word[1].p)};
    return str_to_u64(hex, 16, &number) == 0 && number == port &&
           str_to_u64(word[9], 10, ret_inode) == 0;
}

static bool holder_inode(const char *table, unsigned port, uint64_t *ret_inode)
{
    struct buf CLEAN_BUF text = BUF_INIT(HOLDER_TABLE_MAX);
    if (fs_read(table, HOLDER_TABLE_MAX, &text) < 0)
        return false;
    struct str rest = buf_view(&text), line;
    while (str_cut(&rest, '\n', &line)) {
        if (holder_line(line, port, ret_inode))
            return true;
    }
    return false;
}

static bool holder_has(const char *pid, const char *link)
{
    char path[288], target[64];
    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    DIR *dir = opendir(path);
    bool found = false;
    const struct dirent *entry;
    while (dir && !found && (entry = readdir(dir))) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
        target[n < 0 ? 0 : n] = '\0';
        found = strcmp(target, link) == 0;
    }
    if (dir)
        closedir(dir);
    return found;
}

void listen_program(int pid, char *ret_text, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    ssize_t n = readlink(path, ret_text, size - 1);
    ret_text[n < 0 ? 0 : n] = '\0';
}

void listen_holder(unsigned port, char *ret_text, size_t size)
{
    uint64_t inode, pid;
    char link[64], program[256];
    snprintf(ret_text, size, "another user's process");
    if (!holder_inode("/proc/net/tcp", port, &inode) &&
        !holder_inode("/proc/net/tcp6", port, &inode))
        return;
    snprintf(link, sizeof(link), "socket:[%llu]", (unsigned long long)inode);
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    while (proc && (entry = readdir(proc))) {
        if (str_to_u64(str_from(entry->d_name), 10, &pid) < 0 || !holder_has(entry->d_name, link))
            continue;
        listen_program((int)pid, program, sizeof(program));
        snprintf(ret_text, size, "process %d (%s)", (int)pid, program);
        break;
    }
    if (proc)
        closedir(proc);
}
