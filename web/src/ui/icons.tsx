/** Icons, drawn on a grid of 24. */

const PATHS = {
  brush: "M14.5 4.5l5 5-8.5 8.5c-1 1-2.5 1-3.5 2.5-1-1.5-3-.5-4.5-.5 1.5-1 1-2.5 2-4 .5-.8 1-1.5 1.5-2z",
  line: "M5 19L19 5M5 19h.01M19 5h.01",
  fill: "M6 11l7-7 7 7-7 7a2 2 0 0 1-3 0l-4-4a2 2 0 0 1 0-3zM5 12h14M20.5 16.5s-1.5 2-1.5 3a1.5 1.5 0 0 0 3 0c0-1-1.5-3-1.5-3z",
  eraser: "M8 20l-4-4a2 2 0 0 1 0-3l8.500-8.500a2 2 0 0 1 3 0l4 4a2 2 0 0 1 0 3L12 19l-1 1zM9 8.500l7 7M11 20h9",
  mirror: "M12 3v18M8 7l-5 5 5 5zM16 7l5 5-5 5z",
  undo: "M8 5L4 9l4 4M4 9h10a5 5 0 0 1 0 10h-3",
  redo: "M16 5l4 4-4 4M20 9H10a5 5 0 0 0 0 10h3",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  dice: "M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM8 8h.8v.8H8zM15.200 8h.8v.8h-.8zM11.600 11.600h.8v.8h-.8zM8 15.200h.8v.8H8zM15.200 15.200h.8v.8h-.8z",
  load: "M12 15V4M8 8l4-4 4 4M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
  save: "M12 4v11M8 11l4 4 4-4M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
  code: "M8 8l-4 4 4 4M16 8l4 4-4 4M13.500 5l-3 14",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  key: "M14.500 9.500a4.500 4.500 0 1 0-4 4.470L12 15.500h2v2h2v2h4v-4l-5.600-5.600M8 10h.01",
  blank: "M6 3h8l4 4v14H6zM14 3v4h4",
  play: "M7 4l13 8-13 8z",
  pause: "M8 5v14M16 5v14",
  close: "M6 6l12 12M18 6L6 18",
  reset: "M4 4v6h6M4.500 15a8 8 0 1 0 .5-7",
  face: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9 10h.01M15 10h.01M8.500 14.500c1 1.500 2.200 2 3.500 2s2.500-.5 3.500-2",
  photo: "M4 8h3l2-3h6l2 3h3a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V9a1 1 0 0 1 1-1zM12 10a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7z",
  eye: "M2 12s4-7 10-7 10 7 10 7-4 7-10 7-10-7-10-7zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
};

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function IconButton(props: {
  icon: IconName;
  title: string;
  keys?: string;
  pressed?: boolean;
  disabled?: boolean;
  text?: boolean;
  primary?: boolean;
  onClick: () => void;
}) {
  const { icon, title, keys, pressed, disabled, text, primary, onClick } = props;
  return (
    <button
      type="button"
      class={`button ${text ? "" : "square"} ${primary ? "primary" : ""}`}
      title={keys ? `${title} (${keys})` : title}
      aria-label={title}
      aria-keyshortcuts={keys}
      aria-pressed={pressed}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
      {text && <span>{title}</span>}
    </button>
  );
}

/** A button that loads a file. */
export function FileButton(props: { title: string; accept: string; icon?: IconName; square?: boolean; onFile: (file: File) => void }) {
  return (
    <label class={`button file ${props.square ? "square" : ""}`} title={props.title}>
      <Icon name={props.icon ?? "load"} />
      <span class={props.square ? "hidden" : ""}>{props.title}</span>
      <input
        type="file"
        accept={props.accept}
        onChange={(event) => {
          const input = event.currentTarget;
          const file = input.files?.[0];
          if (file) props.onFile(file);
          input.value = "";
        }}
      />
    </label>
  );
}
