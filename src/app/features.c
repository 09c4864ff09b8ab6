/*
 * What the program is made of.
 */
#include "app/app.h"
#include "app/features_tables.h"

const struct app app_hinge = {
    .features = features,
    .nfeatures = array_len(features),
    .rooms = rooms,
    .nrooms = array_len(rooms) - 1,
};
