/** Starts the page: the models first, then what the address says, then live. */

import { effect, untracked } from "@preact/signals";
import { render } from "preact";
import { prepare, saying } from "./actions";
import { apiKey } from "./api/client";
import { failureOf, NO_MODEL } from "./api/failures";
import { keepAddress, takeOver } from "./fragment";
import { follow } from "./live";
import { refreshModels } from "./models";
import { failure, model, modelName, models, tab, tabsOfModel } from "./state";
import { App } from "./ui/App";
import { BRUSH, brush, middle, opacity, tool, zoom } from "./ui/tools";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 5000;

/** Until the gateway answers: it may still be starting, or want a key. */
async function begin(abort: AbortSignal): Promise<void> {
  for (let wait = FIRST_WAIT; ; wait = Math.min(LONGEST_WAIT, wait * 1.5)) {
    try {
      if ((await refreshModels(abort)).any) {
        failure.value = null;
        break;
      }
      failure.value = NO_MODEL;
    } catch (error) {
      if (abort.aborted) return;
      failure.value = failureOf(error);
      if (failure.value.remedy === "key") return;
    }
    await new Promise((resume) => setTimeout(resume, wait));
  }
  // What takes most kinds of drawings shows a newcomer most.
  const richest = models.value.reduce((best, each) => (each.conditions.length > best.conditions.length ? each : best));
  if (!(await takeOver(location.hash))) modelName.value = richest.name;
  started = true;
  effect(() => {
    const [of, on, offered] = [model.value, tab.value, tabsOfModel.value];
    if (!of || !offered.length) return;
    if (!offered.some((each) => each.tab === on)) tab.value = offered[0]!.tab;
    else untracked(() => void saying(() => prepare(of, on)));
  });
  // Of an edit one wants to see what is edited, of a label map what one draws.
  effect(() => {
    opacity.value = tab.value === "edit" ? 0.4 : 1;
    if (tab.value === "sketch" && tool.peek() === "fill") tool.value = "brush";
    brush.value = tab.value === "sketch" ? BRUSH.pen : BRUSH.area;
    zoom.value = 1;
    middle.value = { x: 0.5, y: 0.5 };
  });
  follow();
  keepAddress();
}

let started = false;
let attempt = new AbortController();
effect(() => {
  void apiKey.value;
  untracked(() => {
    if (started) return;
    attempt.abort();
    attempt = new AbortController();
    void begin(attempt.signal);
  });
});
render(<App />, document.getElementById("app")!);
