/** The page. */

import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { copyText, say } from "../actions";
import { apiKey } from "../api/client";
import { link } from "../fragment";
import { decoded } from "../screen";
import { exemplar, failure, layer, model, modelName, models, notice, tab, TABS, tabsOfModel } from "../state";
import { CodeDialog, KeyDialog } from "./Dialogs";
import { IconButton } from "./icons";
import { Looks } from "./Looks";
import { Palette } from "./Palette";
import { Result } from "./Result";
import { Starts } from "./Starts";
import { paintOn, Surface } from "./Surface";
import { Sliders, Toolbar } from "./Toolbar";
import { listenToKeys } from "./keys";

export function App() {
  const dialog = useSignal<"key" | "code" | null>(null);
  useEffect(listenToKeys, []);
  useSignalEffect(() => {
    if (failure.value?.remedy === "key") dialog.value = "key";
  });
  const share = async () => copyText(await link(), "The link is copied. It holds the drawing itself; nothing is stored.");
  const close = () => (dialog.value = null);
  return (
    <>
      <header class="bar">
        <h1>
          <span class="mark" aria-hidden="true" />
          Maskweave
        </h1>
        <label class="model">
          <span class="hidden">Model</span>
          <select value={modelName.value} onChange={(event) => (modelName.value = event.currentTarget.value)}>
            {models.value.map(({ name, title }) => (
              <option key={name} value={name}>
                {title || name}
              </option>
            ))}
          </select>
        </label>
        <div class="group end">
          <IconButton icon="link" title="Share" text onClick={() => void share()} />
          <IconButton icon="key" title={apiKey.value ? "Key entered" : "Key"} text onClick={() => (dialog.value = "key")} />
          <IconButton icon="code" title="Code" text primary onClick={() => (dialog.value = "code")} />
        </div>
      </header>
      <main>
        <Messages onKey={() => (dialog.value = "key")} />
        <Tabs />
        <div class="work" role="tabpanel" id="panel" aria-labelledby={`tab-${tab.value}`}>
          <section class="card draw" aria-label="Drawing">
            {layer.value && tab.value !== "exemplar" && <Toolbar layer={layer.value} />}
            <div class="canvas">
              {tab.value === "exemplar" ? (
                <Exemplar />
              ) : (
                layer.value && <Surface key={`${modelName.value}/${tab.value}/${layer.value.bitmap.width}`} layer={layer.value} label={labelOf()} />
              )}
              {layer.value && tab.value !== "exemplar" && <Sliders />}
              {layer.value && tab.value !== "exemplar" && layer.value.inks.length > 1 && <Palette layer={layer.value} />}
              <Starts />
            </div>
          </section>
          <Result />
        </div>
        <Looks />
        <p class={`notice ${notice.value ? "" : "gone"}`} role="status">
          {notice.value}
        </p>
      </main>
      {dialog.value === "key" && <KeyDialog onClose={close} />}
      {dialog.value === "code" && <CodeDialog onClose={close} />}
    </>
  );
}

function labelOf(): string {
  const title = TABS.find((each) => each.tab === tab.value)!.title;
  return `${title}. Arrow keys move the brush, the space bar draws, square brackets change its width, 1 to 9 choose the class.`;
}

function Tabs() {
  const offered = tabsOfModel.value;
  const choose = (at: number) => {
    const next = offered[(at + offered.length) % offered.length]!;
    tab.value = next.tab;
    document.getElementById(`tab-${next.tab}`)?.focus();
  };
  return (
    <div class="tabs">
      <div role="tablist" aria-label="What is drawn">
        {offered.map((each, i) => (
          <button
            type="button"
            role="tab"
            key={each.tab}
            id={`tab-${each.tab}`}
            aria-selected={each.tab === tab.value}
            aria-controls="panel"
            tabIndex={each.tab === tab.value ? 0 : -1}
            onClick={() => (tab.value = each.tab)}
            onKeyDown={(event) => {
              if (event.key === "ArrowRight") choose(i + 1);
              else if (event.key === "ArrowLeft") choose(i - 1);
            }}
          >
            {each.title}
          </button>
        ))}
      </div>
      <p class="hint">{TABS.find((each) => each.tab === tab.value)!.hint}</p>
    </div>
  );
}

function Messages({ onKey }: { onKey: () => void }) {
  const said = failure.value;
  return (
    <div role="alert" class="messages">
      {said?.text && (
        <p class="failure" data-testid="failure">
          <span>{said.text}</span>
          {said.remedy === "key" && (
            <button type="button" class="button" onClick={onKey}>
              Enter a key
            </button>
          )}
          <IconButton icon="close" title="Dismiss" onClick={() => (failure.value = null)} />
        </p>
      )}
    </div>
  );
}

function Exemplar() {
  const canvas = useRef<HTMLCanvasElement>(null);
  useSignalEffect(() => {
    const photo = exemplar.value;
    if (!photo) return;
    decoded(photo.bytes).then(
      (pixels) => canvas.current && paintOn(canvas.current, pixels),
      () => say("This image cannot be shown."),
    );
  });
  const of = model.value;
  return (
    <div class="frame" style={{ aspectRatio: of ? `${of.imageWidth} / ${of.imageHeight}` : "1" }}>
      <canvas ref={canvas} width={1} height={1} role="img" aria-label={exemplar.value ? `Exemplar: ${exemplar.value.title}` : "No exemplar yet"} />
    </div>
  );
}
