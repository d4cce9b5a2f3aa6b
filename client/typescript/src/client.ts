/** The client. */

import { createClient, type Client as Stub, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { type Model, type StyleCode, SynthesisService } from "./gen/maskweave/v1/synthesis_pb.js";
import { GeneratedImage, type LabelMapReading, type MorphFrame, type Result, type StreamedImage } from "./images.js";
import { PaintSession } from "./paint.js";
import * as requests from "./requests.js";
import { Attempts, type Retry } from "./retry.js";

export interface ClientOptions {
  /** Key that goes with every call, for services that ask for one. */
  apiKey?: string;
  /** Milliseconds that a call may take unless it says otherwise; 30 000 by default. */
  timeoutMs?: number;
  /** How often a call is tried when the service is busy or cannot be reached; false for once. */
  retry?: Retry | false;
  /** In place of the runtime's own. */
  fetch?: typeof globalThis.fetch;
  /** In place of the runtime's own, which Node.js has since version 22. */
  WebSocket?: typeof globalThis.WebSocket;
}

export interface CallOptions {
  /** Aborting it cancels the call, at the service too; the call throws the signal's reason. */
  signal?: AbortSignal;
  /** Milliseconds that the call may take, all attempts together. */
  timeoutMs?: number;
  /** Your id of the request, for the service's log. */
  requestId?: string;
}

/**
 * Talks to a Maskweave service over its HTTP port. There is nothing to close.
 *
 * Every failed call throws a `MaskweaveError`, or the reason of the signal that aborted it.
 */
export class Client {
  private readonly stub: Stub<typeof SynthesisService>;
  private readonly url: string;

  /** @param url Where the HTTP port is, for example `http://localhost:8080`, or in a page `location.origin`. */
  constructor(
    url: string | URL,
    private readonly options: ClientOptions = {},
  ) {
    this.url = String(url).replace(/\/+$/, "");
    const key = options.apiKey;
    const withKey: Interceptor = (next) => (request) => {
      if (key) request.header.set("authorization", `Bearer ${key}`);
      return next(request);
    };
    this.stub = createClient(
      SynthesisService,
      createConnectTransport({ baseUrl: this.url, useBinaryFormat: true, interceptors: [withKey], fetch: options.fetch }),
    );
  }

  /** All models of the service, with their palettes and limits. */
  async models(options?: CallOptions): Promise<Model[]> {
    const models: Model[] = [];
    for (let pageToken = ""; ; ) {
      const page = await this.call((call) => this.stub.listModels({ pageToken }, call), options);
      models.push(...page.models);
      pageToken = page.nextPageToken;
      if (!pageToken) return models;
    }
  }

  /** One model. */
  async model(name: string, options: CallOptions & { version?: string } = {}): Promise<Model> {
    const { model } = await this.call((call) => this.stub.getModel({ name, version: options.version }, call), options);
    if (!model) throw new Error("the service sent no model");
    return model;
  }

  /** Makes images that follow a drawing. */
  async draw(model: string, drawing: requests.Drawing, options?: CallOptions): Promise<Result> {
    const request = await requests.drawingOf(model, drawing);
    const reply = await this.call((call) => this.stub.synthesize(request, call), options);
    const images = reply.images.map((image) => new GeneratedImage(image));
    return { images, modelVersion: reply.modelVersion, timings: reply.timings };
  }

  /** Makes the same images as `draw` and yields each as soon as it is ready. */
  async *drawStream(model: string, drawing: requests.Drawing, options?: CallOptions): AsyncGenerator<StreamedImage, void, undefined> {
    const request = await requests.drawingOf(model, drawing);
    for await (const { index, image, modelVersion, timings } of this.stream((call) => this.stub.synthesizeStream(request, call), options))
      yield { index, image: new GeneratedImage(image), modelVersion, timings };
  }

  /** Gives an image the shape of another label map; what is the same in both label maps stays as it was. */
  async edit(model: string, edit: requests.EditRequest, options?: CallOptions): Promise<Result> {
    const request = await requests.editOf(model, edit);
    const reply = await this.call((call) => this.stub.edit(request, call), options);
    return { images: [new GeneratedImage(reply.image)], modelVersion: reply.modelVersion, timings: reply.timings };
  }

  /**
   * Reads the looks of an image, by class id. Classes that share a style have one code, under the lowest of them.
   *
   * @param image A PNG or JPEG file of exactly the model's size.
   * @param labelMap Which class each of its pixels is of.
   */
  async readStyles(model: string, image: requests.Bytes, labelMap: requests.Ids, options?: CallOptions): Promise<Record<number, StyleCode>> {
    const request = { model, picture: await requests.fileOf(image), labelMap: await requests.idsOf(labelMap) };
    const { codes } = await this.call((call) => this.stub.encodeStyles(request, call), options);
    return Object.fromEntries(codes.map((code) => [code.classId, code]));
  }

  /**
   * Reads a label map off an image, to begin to draw from; for models whose `reading` is set.
   *
   * With the label map of a seed, and that seed, `draw` makes an image near the one that it was read off.
   */
  async readLabelMap(model: string, from: requests.ReadRequest, options?: CallOptions): Promise<LabelMapReading> {
    const request = await requests.readOf(model, from);
    const reply = await this.call((call) => this.stub.readLabelMap(request, call), options);
    const encoding = reply.labelMap?.encoding;
    if (encoding?.case !== "raw") throw new Error("the service sent no label map");
    const { width, height, data } = encoding.value;
    return {
      labelMap: { width, height, data: data as Uint8Array<ArrayBuffer> },
      image: reply.image && new GeneratedImage(reply.image),
      modelVersion: reply.modelVersion,
      timings: reply.timings,
    };
  }

  /** Makes images on the way from some styles to others, in order, as they are ready. */
  async *morph(model: string, morph: requests.MorphRequest, options?: CallOptions): AsyncGenerator<MorphFrame, void, undefined> {
    const request = await requests.morphOf(model, morph);
    for await (const { index, position, image, modelVersion, timings } of this.stream((call) => this.stub.morph(request, call), options))
      yield { index, position, image: new GeneratedImage(image), modelVersion, timings };
  }

  /** Opens a canvas that strokes change, and of which frames come back. `timeoutMs` is for opening it. */
  async paint(model: string, canvas: requests.PaintRequest, options: Omit<CallOptions, "requestId"> = {}): Promise<PaintSession> {
    const start = await requests.paintStartOf(model, canvas);
    const attempts = this.attempts(options);
    for (;;) {
      const limits = attempts.options();
      try {
        return await PaintSession.open(this.url, start, {
          ...limits,
          apiKey: this.options.apiKey,
          WebSocket: this.options.WebSocket ?? globalThis.WebSocket,
        });
      } catch (error) {
        await attempts.after(error);
      }
    }
  }

  private attempts(options: CallOptions): Attempts {
    return new Attempts(this.options.retry ?? {}, options.timeoutMs ?? this.options.timeoutMs ?? 30_000, options.signal);
  }

  private async call<T>(call: (options: requests.Attempt) => Promise<T>, options: CallOptions = {}): Promise<T> {
    const attempts = this.attempts(options);
    for (;;) {
      const limits = { ...attempts.options(), headers: headersOf(options) };
      try {
        return await call(limits);
      } catch (error) {
        await attempts.after(error);
      }
    }
  }

  private async *stream<T>(call: (options: requests.Attempt) => AsyncIterable<T>, options: CallOptions = {}): AsyncGenerator<T, void, undefined> {
    const attempts = this.attempts(options);
    // Whoever stops reading cancels the call, which by itself would go on to its end.
    const left = new AbortController();
    const leave = () => left.abort(options.signal?.reason);
    options.signal?.addEventListener("abort", leave, { once: true });
    try {
      for (;;) {
        const limits = { ...attempts.options(), signal: left.signal, headers: headersOf(options) };
        let begun = false;
        try {
          for await (const message of call(limits)) {
            begun = true;
            yield message;
          }
          return;
        } catch (error) {
          await attempts.after(error, begun);
        }
      }
    } finally {
      options.signal?.removeEventListener("abort", leave);
      leave();
    }
  }
}

function headersOf({ requestId }: CallOptions): Record<string, string> {
  return requestId === undefined ? {} : { "x-request-id": requestId };
}
