/** Whiteouts in a layer's tar. Source: image-spec, layer.md, "Whiteouts". */
export const whiteoutPrefix = ".wh.";
export const opaqueMarker = ".wh..wh..opq";
