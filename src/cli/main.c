/* main.c - the program begins here. */
#include "cli/cli.h"
#include "report/report.h"

int main(int argc, char **argv)
{
    report_json_init();
    return cli_main(argc, argv);
}
