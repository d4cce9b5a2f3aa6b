/** What other seeds make of the same drawing, made when nobody is drawing. */

import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { client } from "../api/client";
import { status } from "../live";
import { conditionNow, drawingOf, fastFormat, NothingDrawn } from "../request";
import { pixelsOf, shown } from "../screen";
import { model, randomSeed, seed } from "../state";
import { IconButton } from "./icons";
import { paintOn } from "./Surface";

const MOST = 8;
/** The first seeds of the strip; the one that the page begins with is among them. */
const FIRST_SEED = 8;
const QUIET_MILLISECONDS = 600;

export function Seeds() {
  const count = useComputed(() => Math.min(MOST, model.value?.limits?.maxImages ?? 1));
  const seeds = useSignal<number[]>([]);
  const pixels = useSignal<ImageData[]>([]);
  if (seeds.value.length !== count.value)
    seeds.value = Array.from({ length: count.value }, (_, i) => seeds.value[i] ?? FIRST_SEED + i);

  useSignalEffect(() => {
    void shown.value;
    const wanted = seeds.value;
    if (status.value !== "settled" || !wanted.length || !model.value) return;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      void draw(wanted, abort.signal).then(
        (drawn) => (pixels.value = drawn),
        (error: unknown) => {
          // The strip is an extra: it stays as it was, and what is wrong is said about the image itself.
          if (!(error instanceof NothingDrawn) && !abort.signal.aborted) pixels.value = [];
        },
      );
    }, QUIET_MILLISECONDS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  });

  return (
    <div class="seeds" role="group" aria-label="Other seeds">
      {seeds.value.map((each, i) => (
        <button type="button" class="thumb" key={i} aria-pressed={each === seed.value} title={`Seed ${each}`} onClick={() => (seed.value = each)}>
          <Thumb pixels={pixels.value[i]} label={`Seed ${each}`} />
        </button>
      ))}
      <IconButton icon="dice" title="Other seeds" onClick={() => (seeds.value = seeds.value.map(randomSeed))} />
    </div>
  );
}

async function draw(seeds: number[], abort: AbortSignal): Promise<ImageData[]> {
  const of = model.peek()!;
  const drawing = drawingOf(conditionNow(), seeds);
  const { images } = await client.peek().draw(of.name, { ...drawing, priority: "batch", format: fastFormat(of) }, { signal: abort });
  return Promise.all(images.map((image) => pixelsOf(image)));
}

export function Thumb({ pixels, label }: { pixels?: ImageData; label: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (pixels) paintOn(canvas.current!, pixels);
  }, [pixels]);
  return <canvas ref={canvas} width={1} height={1} role="img" aria-label={label} />;
}
