# embed.cmake: write the storefront's files as one C table, in the order of the rows.
#
#     cmake -DROWS=storefront.def -DFOLDER=storefront -DOUTPUT=storefront_files.c -P embed.cmake
#
# Each file's tag is the beginning of its SHA-256, so a browser asks for a file again just when it has changed.
file(STRINGS ${ROWS} rows REGEX "^STOREFRONT_FILE\\(")
set(arrays "")
set(entries "")
set(index 0)
foreach(row ${rows})
  string(REGEX REPLACE "^STOREFRONT_FILE\\(\"([^\"]+)\", ([^,]+), ([A-Z]+)\\)$" "\\1;\\2;\\3" parts "${row}")
  list(GET parts 0 path)
  list(GET parts 1 name)
  list(GET parts 2 type)
  file(READ ${FOLDER}/${name} hex HEX)
  file(SIZE ${FOLDER}/${name} size)
  file(SHA256 ${FOLDER}/${name} tag)
  string(SUBSTRING ${tag} 0 16 tag)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${hex}")
  string(APPEND arrays "static const unsigned char file_${index}[] = {${bytes}};\n")
  string(APPEND entries "    {\"${path}\", STOREFRONT_${type}, \"\\\"${tag}\\\"\", file_${index}, ${size}},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE ${OUTPUT} "#include \"storefront.h\"\n\n${arrays}\nconst struct storefront_file storefront_files[] = {\n${entries}};\nconst size_t storefront_file_count = ${index};\n")
