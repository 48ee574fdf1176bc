/* schema.c - refuses JSON schemas that an answer would not keep, or that no answer can keep: an
 * engine passes over the former in silence, and never ends with some of the latter. */
#include "api/chat/chat.h"

/* Keywords whose values are schemas: one, an array or an object of them, the names being free. */
static const struct str schema_ones =
    STR("items additionalProperties contains not if then else propertyNames "
        "unevaluatedItems unevaluatedProperties");
static const struct str schema_lists = STR("anyOf oneOf allOf prefixItems items");
static const struct str schema_maps =
    STR("properties $defs definitions patternProperties dependentSchemas");

/* What makes no difference to the engine's grammar. */
static const struct str schema_dropped =
    STR("not if then else patternProperties propertyNames contains uniqueItems multipleOf "
        "dependentRequired dependentSchemas minProperties maxProperties unevaluatedItems "
        "unevaluatedProperties");

struct schema_check {
    const char *param;
    bool all; /* all of it must be kept; else only what an engine cannot do at all is refused */
    struct dialect_error *error;
};

static void schema_look(const struct schema_check *c, const json_t *schema);

static void schema_look_at_all(const struct schema_check *c, const json_t *schemas)
{
    const char *name;
    json_t *one;
    size_t i;
    json_array_foreach((json_t *)schemas, i, one) schema_look(c, one);
    json_object_foreach((json_t *)schemas, name, one) schema_look(c, one);
}

/* With a lower bound above the upper one the engine never ends. */
static void schema_bounds(const struct schema_check *c, const json_t *schema)
{
    static const char *const bounds[][2] = {{"minLength", "maxLength"},
                                            {"minItems", "maxItems"},
                                            {"minimum", "maximum"},
                                            {"minProperties", "maxProperties"}};
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        const json_t *least = json_object_get(schema, bounds[i][0]);
        const json_t *most = json_object_get(schema, bounds[i][1]);
        if (json_is_number(least) && json_is_number(most) &&
            json_number_value(least) > json_number_value(most))
            dialect_fail_at(c->error, c->param, "'%s': no answer can keep '%s' %g and '%s' %g",
                            c->param, bounds[i][0], json_number_value(least), bounds[i][1],
                            json_number_value(most));
    }
}

static void schema_type(const struct schema_check *c, const json_t *type)
{
    size_t i;
    json_t *one;
    if (json_is_string(type) &&
        !str_list_has(STR("string number integer boolean object array null"),
                      str_from(json_string_value(type))))
        dialect_fail_at(c->error, c->param, "'%s': a schema with the type '%.60s' is not supported",
                        c->param, json_string_value(type));
    json_array_foreach((json_t *)type, i, one) schema_type(c, one);
}

static void schema_look(const struct schema_check *c, const json_t *schema)
{
    const char *name;
    json_t *value;
    schema_bounds(c, schema);
    schema_type(c, json_object_get(schema, "type"));
    json_object_foreach((json_t *)schema, name, value)
    {
        struct str word = str_from(name);
        if (c->all && str_list_has(schema_dropped, word) && !json_is_false(value))
            dialect_fail_at(c->error, c->param, "'%s': a schema with '%s' is not supported",
                            c->param, name);
        if (str_is(word, "$ref") && json_is_string(value) && json_string_value(value)[0] != '#')
            dialect_fail_at(c->error, c->param,
                            "'%s': a schema can only refer to itself, not to '%.100s'", c->param,
                            json_string_value(value));
        if (str_list_has(schema_ones, word) && json_is_object(value))
            schema_look(c, value);
        if ((str_list_has(schema_lists, word) && json_is_array(value)) ||
            (str_list_has(schema_maps, word) && json_is_object(value)))
            schema_look_at_all(c, value);
    }
}

void chat_check_schema(const json_t *schema, bool all, const char *param,
                       struct dialect_error *error)
{
    if (schema && !json_is_object(schema))
        dialect_fail_at(error, param, "'%s': the schema must be an object", param);
    schema_look(&(struct schema_check){param, all, error}, schema);
}
