/** The classes of the model, to choose the one that is drawn. */

import type { Layer } from "../canvas/layer";
import { tool } from "./tools";

export function Palette({ layer }: { layer: Layer }) {
  return (
    <fieldset class="palette">
      <legend class="hidden">Class to draw</legend>
      {layer.inks.map(({ id, title, color }, i) => (
        <label key={id} class="ink" title={i < 9 ? `${title} (${i + 1})` : title}>
          <input
            type="radio"
            name="ink"
            value={id}
            checked={layer.ink.value === id}
            onChange={() => {
              layer.ink.value = id;
              if (tool.value === "eraser") tool.value = "brush";
            }}
          />
          <span class="swatch" style={{ backgroundColor: color }} />
          <span>{title}</span>
        </label>
      ))}
    </fieldset>
  );
}
