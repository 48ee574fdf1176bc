#include "report/report.h"

#include <time.h>

static json_t *model_json_time(int64_t seconds)
{
    time_t when = (time_t)seconds;
    struct tm tm;
    char text[32] = "";
    if (gmtime_r(&when, &tm))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return report_json_text(text);
}

json_t *report_json_model(const struct model *m)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", report_json_text(m->name));
    json_object_set_new(object, "path", report_json_text(m->path));
    json_object_set_new(object, "mmproj", report_json_text(m->mmproj));
    json_object_set_new(object, "origin", json_string(model_origin_name(m->origin)));
    json_object_set_new(object, "ours", json_boolean(m->ours));
    json_object_set_new(object, "task", json_string(model_task_name(m->task)));
    json_object_set_new(object, "labels", report_json_words(str_from(m->labels)));
    json_object_set_new(object, "bytes", report_json_bytes(m->bytes));
    json_object_set_new(object, "modified", model_json_time(m->modified));
    json_object_set_new(object, "sha256", report_json_text(m->digest));
    json_object_set_new(object, "repository", report_json_text(m->repository));
    json_object_set_new(object, "revision", report_json_text(m->revision));
    json_object_set_new(object, "licence", report_json_text(m->licence));
    return object;
}

json_t *report_json_known(const struct model_known *row)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", report_json_str(row->name));
    json_object_set_new(object, "repository", report_json_str(row->repository));
    json_object_set_new(object, "file", report_json_str(row->file));
    json_object_set_new(object, "mmproj", report_json_str(row->mmproj));
    json_object_set_new(object, "task", json_string(model_task_name(row->task)));
    json_object_set_new(object, "labels", report_json_words(row->labels));
    json_object_set_new(object, "bytes", report_json_bytes(row->bytes));
    json_object_set_new(object, "licence", report_json_str(row->licence));
    return object;
}
