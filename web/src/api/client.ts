/** The service, as the page reaches it: on the page's own origin, below the page's own path. */

import { computed, signal } from "@preact/signals";
import { Client } from "maskweave-client";

/** The key that was entered. It is kept in this variable and nowhere else. */
export const apiKey = signal("");

export const baseUrl = new URL(".", location.href).href.replace(/\/$/, "");

/** What calls the service with the present key. Nothing is tried again by itself: the page says what it waits for. */
export const client = computed(() => new Client(baseUrl, { apiKey: apiKey.value || undefined, retry: false }));
