/** A label map by chance, from the classes that a model has, so that every model has something to start from. */

import type { PaletteEntry } from "maskweave-client/proto";
import { Bitmap, type Line, type Point } from "./bitmap";

/** What classes of people's pictures are usually called. */
const PARTS = {
  background: /^(background|sky|wall)$/,
  clothes: /(cloth|neck|shirt|torso|body)/,
  hair: /hair(?!_?face)/,
  skin: /^(skin|face)/,
  brows: /brow/,
  eyes: /eye(?!.*brow|.*glass)/,
  nose: /nose/,
  mouth: /(mouth|lip)/,
};

export function composed(palette: PaletteEntry[], width: number, height: number, random = Math.random): Bitmap {
  const bitmap = new Bitmap(width, height);
  const found = (part: keyof typeof PARTS) => palette.find(({ name }) => PARTS[part].test(name))?.id;
  bitmap.ids.fill(found("background") ?? palette[0]?.id ?? 0);
  const between = (low: number, high: number) => low + (high - low) * random();
  const size = Math.min(width, height);
  const at = (x: number, y: number): Point => ({ x: x * width, y: y * height });
  const draw = (id: number | undefined, thick: number, ...points: Point[]) => {
    if (id !== undefined) bitmap.draw({ id, width: thick * size, points } satisfies Line);
  };
  if (found("skin") === undefined) {
    for (const { id } of palette.slice(1))
      for (let spots = 0; spots < 2; spots++)
        draw(id, between(0.12, 0.4), at(random(), random()), at(random(), random()));
    return bitmap;
  }

  const middle = between(0.46, 0.54);
  const chin = between(0.76, 0.84);
  const wide = between(0.36, 0.44);
  const long = random() < 0.5;
  draw(found("clothes"), 0.36, at(middle - 0.3, 1.06), at(middle + 0.3, 1.06));
  const hair = between(0.5, 0.6);
  draw(found("hair"), hair, at(middle, 0.4), at(middle, long ? between(0.6, 0.75) : 0.42));
  draw(found("clothes"), 0.22, at(middle, chin - 0.04), at(middle, 1));
  draw(found("skin"), wide, at(middle, 0.42), at(middle, chin - wide / 2));
  const eyes = between(0.43, 0.48);
  const apart = between(0.085, 0.1);
  for (const side of [-1, 1]) {
    const x = middle + side * apart;
    draw(found("eyes"), between(0.035, 0.045), at(x - 0.025, eyes), at(x + 0.025, eyes));
    draw(found("brows"), 0.022, at(x - 0.045, eyes - 0.055), at(x, eyes - 0.07), at(x + 0.045, eyes - 0.055));
  }
  draw(found("nose"), 0.06, at(middle, eyes + 0.05), at(middle, eyes + 0.12));
  const smile = between(0.0, 0.03);
  const lips = eyes + between(0.2, 0.23);
  draw(found("mouth"), between(0.03, 0.055), at(middle - 0.07, lips - smile), at(middle, lips), at(middle + 0.07, lips - smile));
  return bitmap;
}
