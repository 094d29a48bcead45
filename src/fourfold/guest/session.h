/* Programs that the host runs beside the service: `exec`. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <sys/types.h>

/* Starts one with the entries; its number is the client's choice. What is wrong with it goes back as ERRORS and EXIT. */
void session_start(uint16_t number, char *payload, size_t size);

/* Each does nothing where there is no such session: it may just have ended. */
void session_input(uint16_t number, const char *bytes, size_t size);
void session_resize(uint16_t number, const uint8_t *payload, size_t size);
void session_signal(uint16_t number, int signal);
void session_more(uint16_t number, const uint8_t *payload, size_t size);

/* A process has ended; if it was a session's, its EXIT follows its last output. */
void session_reap(pid_t pid, int status);

/* There may be room for output again. */
void sessions_continue(void);

/* Sends each of them a signal. -> how many there are. */
size_t sessions_signal(int signal);

/* Ends all of them: their client is gone. */
void sessions_end(void);
