/* device.h - GPUs as plan/ sees them: their order, their memory, their names in sentences. */
#ifndef PLAN_DEVICE_H
#define PLAN_DEVICE_H

#include "plan/plan.h"

#define DEVICE_NAME_MAX 192
#define DEVICE_SIZE_MAX 24

bool plan_device_is_amd(const struct machine_gpu *gpu);

/* All GPUs of m into ret (m->n_gpus of them), best first: AMD's own; those that the model fits on;
 * discrete before integrated; more memory; more compute units; PCI address. */
void plan_device_sort(const struct machine *m, uint64_t need_bytes, const struct machine_gpu **ret);

/* Is its memory a part of the computer's? */
bool plan_device_shares(const struct machine_gpu *gpu);

/* "Radeon RX 7900 XTX (0000:03:00.0)", for sentences. */
void plan_device_name(const struct machine_gpu *gpu, char ret_name[static DEVICE_NAME_MAX]);

/* "24.0 GiB". */
void plan_device_size(uint64_t bytes, char ret_text[static DEVICE_SIZE_MAX]);

/*
 * The GPU's number for ROCR_VISIBLE_DEVICES; -1 unknown. ret_guessed: a capture without KFD, where
 * the kernel will most likely number the cards by PCI address.
 */
int plan_device_rocr_number(const struct machine *m, const struct machine_gpu *gpu,
                            bool *ret_guessed);

/* GPUs that HIP would see: AMD's with a target that the kernel's compute driver can report. */
size_t plan_device_count_hip(const struct machine *m);

/* Does the user's word for a GPU mean this one? "03:00.0" is short for "0000:03:00.0". */
bool plan_device_is_at(const struct machine_gpu *gpu, const char *pci);

#endif
