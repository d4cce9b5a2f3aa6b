/** How each part looks, for models with styles; and the way from these looks to others. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { bytesOfFile, modelSized, say, saying } from "../actions";
import { client } from "../api/client";
import { writePng } from "../canvas/png";
import { pause, resume } from "../live";
import { fastFormat, raw, stylesNow } from "../request";
import { pixelsOf, showPixels } from "../screen";
import { layer, looks, model, NO_LOOK, randomSeed, seed, type Look, type LookSource } from "../state";
import { FileButton, IconButton } from "./icons";

const FRAMES = 24;
const FRAME_MILLISECONDS = 60;

export function Looks() {
  const support = model.value?.styles;
  if (!support) return null;
  const titles = new Map(model.value!.palette.map(({ id, title, name, color }) => [id, { title: title || name, color }]));
  const change = (i: number, look: Look) => (looks.value = looks.value.map((each, at) => (at === i ? look : each)));
  return (
    <section class="card looks" aria-label="Looks">
      <header>
        <h2>Looks</h2>
        <div class="group">
          <IconButton icon="dice" title="All anew" text onClick={() => (looks.value = looks.value.map(() => ({ first: { seed: randomSeed() }, second: null, mix: 0 })))} />
          <IconButton icon="reset" title="As the seed has them" text disabled={looks.value.every(({ first }) => !first)} onClick={() => (looks.value = looks.value.map(() => NO_LOOK))} />
          <FileButton title="From an image" accept="image/*" onFile={(file) => void saying(() => readLooks(file))} />
        </div>
      </header>
      <ul>
        {support.styles.map(({ classIds }, i) => (
          <Well key={i} name={classIds.map((id) => titles.get(id)?.title ?? id).join(", ")} color={titles.get(classIds[0] ?? 0)?.color ?? "#888888"} look={looks.value[i] ?? NO_LOOK} onChange={(look) => change(i, look)} onFile={(file) => void saying(() => readLooks(file, i))} />
        ))}
      </ul>
      <Morph />
    </section>
  );
}

function Well(props: { name: string; color: string; look: Look; onChange: (look: Look) => void; onFile: (file: File) => void }) {
  const { name, color, look, onChange, onFile } = props;
  const roll = (): LookSource => ({ seed: randomSeed() });
  return (
    <li>
      <span class="swatch" style={{ backgroundColor: color }} />
      <span class="name">{name}</span>
      <IconButton icon="dice" title={`Another look of ${name}`} onClick={() => onChange({ first: roll(), second: null, mix: 0 })} />
      <FileButton title={`Look of ${name} from an image`} accept="image/*" square onFile={onFile} />
      {look.first ? (
        <>
          <label class="slider">
            <span class="hidden">Blend of {name}</span>
            <input
              type="range"
              min="0"
              max="1"
              step="0.01"
              value={look.mix}
              aria-valuetext={`${Math.round(look.mix * 100)} percent of the second look`}
              onInput={(event) => onChange({ ...look, second: look.second ?? roll(), mix: Number(event.currentTarget.value) })}
            />
          </label>
          <IconButton icon="dice" title={`Another second look of ${name}, to blend with`} onClick={() => onChange({ ...look, second: roll(), mix: look.mix || 0.5 })} />
          <IconButton icon="close" title={`${name} as the seed has it`} onClick={() => onChange(NO_LOOK)} />
        </>
      ) : (
        <span class="quiet">as the seed has it</span>
      )}
    </li>
  );
}

/** Reads the looks of an image, which must show what is drawn: all, or that of one style. */
async function readLooks(file: File, only?: number): Promise<void> {
  const of = model.peek()!;
  const drawn = layer.peek();
  if (!drawn) return;
  const png = await modelSized(await bytesOfFile(file), of);
  const map = await writePng(drawn.bitmap.resized(of.imageWidth, of.imageHeight), drawn.colors);
  const codes = Object.values(await client.peek().readStyles(of.name, png, map));
  const read = (of.styles?.styles ?? []).map(({ classIds }) => {
    const code = codes.find(({ classId }) => classIds.includes(classId));
    return code ? { first: { code }, second: null, mix: 0 } : NO_LOOK;
  });
  if (only === undefined) {
    looks.value = read;
    say(`Read ${codes.length} looks, of what is drawn in the label map.`);
  } else if (!read[only]?.first) say("There is nothing of this class in the label map: draw where the image shows it.");
  else looks.value = looks.value.map((each, i) => (i === only ? read[only]! : each));
}

/** Plays the way from these looks to others. */
function Morph() {
  const frames = useSignal<ImageData[]>([]);
  const at = useSignal(0);
  const playing = useSignal(false);
  const target = useRef<Look[] | null>(null);
  const abort = useRef<AbortController | null>(null);

  const leave = () => {
    abort.current?.abort();
    abort.current = null;
    playing.value = false;
    frames.value = [];
    resume();
  };
  useEffect(() => leave, [model.value?.name]);
  useEffect(() => {
    if (!playing.value) return;
    const timer = setInterval(() => {
      // A tick may be due when somebody takes hold of the slider.
      if (playing.peek() && frames.value.length) at.value = (at.value + 1) % (2 * frames.value.length);
    }, FRAME_MILLISECONDS);
    return () => clearInterval(timer);
  }, [playing.value]);

  const begin = () =>
    saying(async () => {
      const of = model.peek()!;
      const drawn = layer.peek();
      if (!drawn) return;
      leave();
      pause();
      const mine = (abort.current = new AbortController());
      target.current = looks.peek().map(() => ({ first: { seed: randomSeed() }, second: null, mix: 0 }));
      at.value = 0;
      playing.value = !matchMedia("(prefers-reduced-motion: reduce)").matches;
      const request = {
        labelMap: raw(drawn.bitmap),
        from: stylesNow(true),
        to: stylesNow(true, target.current),
        numberOfFrames: Math.min(FRAMES, of.limits?.maxMorphFrames ?? FRAMES),
        format: fastFormat(of),
        seed: seed.peek(),
      };
      try {
        for await (const { image } of client.peek().morph(of.name, request, { signal: mine.signal })) {
          if (mine.signal.aborted) return;
          frames.value = [...frames.value, await pixelsOf(image)];
        }
      } catch (error) {
        if (mine.signal.aborted) return;
        leave();
        throw error;
      }
    });

  const count = frames.value.length;
  const index = count ? (at.value < count ? at.value : 2 * count - 1 - at.value) : 0;
  useEffect(() => {
    const pixels = frames.value[Math.max(0, index)];
    if (pixels) showPixels(pixels);
  }, [index, count]);

  return (
    <div class="morph" role="group" aria-label="Morph">
      <IconButton icon="play" title="Morph to other looks" text onClick={() => void begin()} />
      {count > 0 && (
        <>
          <IconButton icon={playing.value ? "pause" : "play"} title={playing.value ? "Pause" : "Play"} onClick={() => (playing.value = !playing.value)} />
          <label class="slider">
            <span class="hidden">Position between the looks</span>
            <input type="range" min="0" max={count - 1} step="1" value={index} onInput={(event) => { playing.value = false; at.value = Number(event.currentTarget.value); }} />
          </label>
          <IconButton icon="save" title="Keep the other looks" text onClick={() => { const kept = target.current; leave(); if (kept) looks.value = kept; }} />
          <IconButton icon="close" title="End the morph" onClick={leave} />
        </>
      )}
    </div>
  );
}
