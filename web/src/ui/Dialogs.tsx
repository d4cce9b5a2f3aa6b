/** The dialogs: a key, and the request as code. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { copyText, saying } from "../actions";
import { apiKey } from "../api/client";
import { codeFor, LANGUAGES, placeOfGrpc, type Language } from "../code";
import { NothingDrawn } from "../request";
import { IconButton } from "./icons";

export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current!.showModal(), []);
  return (
    <dialog
      ref={dialog}
      aria-label={props.title}
      onClose={props.onClose}
      onClick={(event) => event.target === dialog.current && dialog.current!.close()}
    >
      <div class="inside">
        <header>
          <h2>{props.title}</h2>
          <IconButton icon="close" title="Close" onClick={() => dialog.current!.close()} />
        </header>
        {props.children}
      </div>
    </dialog>
  );
}

export function KeyDialog({ onClose }: { onClose: () => void }) {
  const entered = useSignal(apiKey.value);
  return (
    <Dialog title="Key" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          apiKey.value = entered.value.trim();
          onClose();
        }}
      >
        <p>
          A gateway with keys answers only to those that it knows. What you enter is sent to this gateway alone, stays in this tab's memory and is
          gone when you close it.
        </p>
        <label class="field">
          <span>Key</span>
          <input
            type="password"
            autoComplete="off"
            spellcheck={false}
            pattern="\s*[!-~]*\s*"
            title="A key has letters, digits and signs of ASCII, and no spaces in between."
            value={entered.value}
            onInput={(event) => (entered.value = event.currentTarget.value)}
            placeholder="mwk_…"
          />
        </label>
        <div class="group end">
          <button type="button" class="button" onClick={() => { apiKey.value = ""; onClose(); }}>
            Forget it
          </button>
          <button type="submit" class="button primary">
            Use it
          </button>
        </div>
      </form>
    </Dialog>
  );
}

export function CodeDialog({ onClose }: { onClose: () => void }) {
  const language = useSignal<Language>("Python");
  const code = useSignal("");
  const chosen = language.value;
  useEffect(() => {
    let stale = false;
    void saying(async () => {
      try {
        const text = await codeFor(chosen, await placeOfGrpc());
        if (!stale) code.value = text;
      } catch (error) {
        if (!(error instanceof NothingDrawn)) throw error;
        code.value = error.message;
      }
    });
    return () => void (stale = true);
  }, [chosen]);
  return (
    <Dialog title="This image as code" onClose={onClose}>
      <div class="group languages" role="radiogroup" aria-label="Language">
        {LANGUAGES.map((each) => (
          <button type="button" class="button" key={each.language} role="radio" aria-checked={each.language === chosen} onClick={() => (language.value = each.language)}>
            {each.language}
          </button>
        ))}
      </div>
      <pre tabIndex={0} role="group" data-testid="code" aria-label={`${chosen} code`}>
        {code.value}
      </pre>
      <div class="group end">
        <span class="quiet">
          {LANGUAGES.find((each) => each.language === chosen)!.needs} Writes face.png.
          {apiKey.value ? " The key is read from MASKWEAVE_KEY." : ""}
        </span>
        <IconButton icon="code" title="Copy" text primary onClick={() => void copyText(code.value, "Copied.")} />
      </div>
    </Dialog>
  );
}
