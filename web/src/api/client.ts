/** The service, as the page reaches it: on the page's own origin, below the page's own path. */

import { createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { signal } from "@preact/signals";
import { SynthesisService, type Model } from "../gen/maskweave/v1/synthesis_pb";

/** The key that was entered. It is kept in this variable and nowhere else. */
export const apiKey = signal("");

const withKey: Interceptor = (next) => (request) => {
  if (apiKey.value) request.header.set("authorization", `Bearer ${apiKey.value}`);
  return next(request);
};

export const baseUrl = new URL(".", location.href).href.replace(/\/$/, "");

export const service = createClient(
  SynthesisService,
  createConnectTransport({ baseUrl, useBinaryFormat: true, interceptors: [withKey] }),
);

export async function listModels(abort: AbortSignal): Promise<Model[]> {
  const models: Model[] = [];
  for (let pageToken = ""; ; ) {
    const page = await service.listModels({ pageSize: 200, pageToken }, { signal: abort });
    models.push(...page.models);
    pageToken = page.nextPageToken;
    if (!pageToken) return models;
  }
}
