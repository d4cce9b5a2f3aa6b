/** Tools of the drawing. */

import type { Layer } from "../canvas/layer";
import { tab } from "../state";
import { IconButton, type IconName } from "./icons";
import { brush, BRUSHES, MOST_ZOOM, mirror, opacity, tool, zoom, zoomTo, type Tool } from "./tools";

const TOOLS: { name: Tool; icon: IconName; title: string; keys: string }[] = [
  { name: "brush", icon: "brush", title: "Brush", keys: "B" },
  { name: "line", icon: "line", title: "Line", keys: "L" },
  { name: "fill", icon: "fill", title: "Fill", keys: "F" },
  { name: "eraser", icon: "eraser", title: "Eraser", keys: "E" },
];

export function Toolbar({ layer }: { layer: Layer }) {
  return (
    <div class="tools" role="toolbar" aria-label="Tools">
      <div class="group">
        {TOOLS.filter(({ name }) => name !== "fill" || tab.value !== "sketch").map(({ name, icon, title, keys }) => (
          <IconButton key={name} icon={icon} title={title} keys={keys} pressed={tool.value === name} onClick={() => (tool.value = name)} />
        ))}
        <IconButton icon="mirror" title="Mirror" keys="M" pressed={mirror.value} onClick={() => (mirror.value = !mirror.value)} />
      </div>
      <div class="group">
        <IconButton icon="undo" title="Undo" keys="Control+Z" disabled={!layer.undoable.value} onClick={() => layer.undo()} />
        <IconButton icon="redo" title="Redo" keys="Control+Shift+Z" disabled={!layer.redoable.value} onClick={() => layer.redo()} />
      </div>
      <div class="group">
        <IconButton icon="minus" title="Zoom out" keys="-" disabled={zoom.value <= 1} onClick={() => zoomTo(zoom.value / 1.5)} />
        <IconButton icon="plus" title="Zoom in" keys="+" disabled={zoom.value >= MOST_ZOOM} onClick={() => zoomTo(zoom.value * 1.5)} />
      </div>
    </div>
  );
}

export function Sliders() {
  return (
    <div class="sliders">
      <label class="slider">
        <span>Brush</span>
        <input
          type="range"
          min={BRUSHES.least}
          max={BRUSHES.most}
          step="1"
          value={brush.value}
          aria-valuetext={`${brush.value} percent of the drawing`}
          onInput={(event) => (brush.value = Number(event.currentTarget.value))}
        />
      </label>
      {tab.value !== "exemplar" && (
        <label class="slider">
          <span>Opacity</span>
          <input
            type="range"
            min="0"
            max="1"
            step="0.05"
            value={opacity.value}
            aria-valuetext={`${Math.round(opacity.value * 100)} percent`}
            onInput={(event) => (opacity.value = Number(event.currentTarget.value))}
          />
        </label>
      )}
    </div>
  );
}
