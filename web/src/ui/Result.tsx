/** The image, how long it took, and what it starts from. */

import { durationMs } from "@bufbuild/protobuf/wkt";
import { useComputed } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { saveImage } from "../actions";
import { quantile, samples } from "../latency";
import { missing, status } from "../live";
import { shown, watchScreen } from "../screen";
import { model, randomSeed, seed, strength, strengthRange, tab } from "../state";
import { IconButton } from "./icons";
import { Seeds } from "./Seeds";
import { paintOn } from "./Surface";

export function Result() {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => watchScreen((pixels) => paintOn(canvas.current!, pixels)), []);
  const of = model.value;
  const label = missing.value || `${of?.title ?? "Image"}, seed ${seed.value}`;
  return (
    <section class="card result" aria-label="Result">
      <div class={`frame ${shown.value ? "" : "empty"} ${missing.value ? "faded" : ""}`} style={{ aspectRatio: of ? `${of.imageWidth} / ${of.imageHeight}` : "1" }}>
        <canvas ref={canvas} width={1} height={1} role="img" aria-label={label} data-testid="result" />
        {missing.value && <p class="missing">{missing.value}</p>}
      </div>
      <div class="below-frame">
        <Badge />
        <div class="controls">
          <Seed />
          <Strength />
          <IconButton icon="save" title="Save" text onClick={() => void saveImage()} />
        </div>
        {tab.value !== "edit" && <Seeds />}
      </div>
    </section>
  );
}

function Seed() {
  return (
    <div class="seed">
      <label>
        <span>Seed</span>
        <input
          type="number"
          aria-label="Seed"
          min="0"
          max="4294967295"
          step="1"
          inputMode="numeric"
          value={seed.value}
          onChange={(event) => {
            const wanted = Number(event.currentTarget.value);
            if (Number.isInteger(wanted) && wanted >= 0 && wanted < 2 ** 32) seed.value = wanted;
            else event.currentTarget.value = String(seed.value);
          }}
        />
      </label>
      <IconButton icon="dice" title="Another seed" keys="R" onClick={() => (seed.value = randomSeed())} />
    </div>
  );
}

function Strength() {
  const range = strengthRange.value;
  if (!range) return null;
  const value = strength.value ?? range.defaultValue;
  return (
    <label class="slider strength" title="Left follows the drawing most closely, right stays closest to the seed's own image">
      <span>Style strength</span>
      <input
        type="range"
        min={range.min}
        max={range.max}
        step="any"
        value={value}
        aria-valuetext={value.toFixed(2)}
        onInput={(event) => (strength.value = Number(Number(event.currentTarget.value).toFixed(3)))}
      />
    </label>
  );
}

const WORDS = { connecting: "Connecting", busy: "Painting", slow: "Slow", settled: "Live", waiting: "Waiting" } as const;

function Badge() {
  const timings = shown.value?.timings;
  const total = timings?.total ? durationMs(timings.total) : 0;
  const stages = useComputed(() =>
    (shown.value?.timings?.stages ?? []).map(({ stage, compute, cached }) => ({
      name: stage.replace(`${model.value?.name}_`, "").replace(/_/g, " "),
      milliseconds: compute ? durationMs(compute) : 0,
      cached,
    })),
  );
  const most = Math.max(1, ...stages.value.map(({ milliseconds }) => milliseconds));
  return (
    <details class="badge">
      <summary>
        <span class={`state ${status.value}`} data-testid="status">
          {WORDS[status.value]}
        </span>
        <span class="total">
          <b data-testid="total">{total ? total.toFixed(1) : "–"}</b> ms
        </span>
        <Chart />
        <span class="more">Stages</span>
      </summary>
      <table>
        <caption class="hidden">Where the time of this image went</caption>
        <tbody>
          {stages.value.map(({ name, milliseconds, cached }, i) => (
            <tr key={i}>
              <th scope="row">{name}</th>
              <td class="bar">
                <span style={{ width: `${(milliseconds / most) * 100}%` }} />
              </td>
              <td>{cached ? "cached" : `${milliseconds.toFixed(1)} ms`}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p>From a stroke to its pixels, over the last {samples.value.length} strokes: {spread()}</p>
    </details>
  );
}

function spread(): string {
  const totals = samples.value.map(({ total }) => total);
  if (!totals.length) return "nothing painted yet.";
  return `half within ${quantile(totals, 0.5).toFixed(0)} ms, 95 % within ${quantile(totals, 0.95).toFixed(0)} ms.`;
}

const [CHART_WIDTH, CHART_HEIGHT] = [120, 28];

function Chart() {
  const totals = samples.value.slice(-60);
  const most = Math.max(50, ...totals.map(({ total }) => total));
  const x = (i: number) => (CHART_WIDTH * (i + 60 - totals.length)) / 59;
  const y = (value: number) => CHART_HEIGHT - 1 - ((CHART_HEIGHT - 2) * value) / most;
  const path = (value: (i: number) => number) => totals.map((_, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(value(i)).toFixed(1)}`).join("");
  const last = totals[totals.length - 1];
  return (
    <svg class="chart" viewBox={`0 0 ${CHART_WIDTH} ${CHART_HEIGHT}`} role="img" aria-label={last ? `Latency: ${last.total.toFixed(0)} milliseconds` : "Latency: nothing yet"}>
      <path class="service" d={path((i) => totals[i]!.service)} />
      <path class="whole" d={path((i) => totals[i]!.total)} />
    </svg>
  );
}
